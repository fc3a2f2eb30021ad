package schemas

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Decoder turns records into events. It is not safe for concurrent use: each
// goroutine has its own.
//
// Two decoders stand behind it. The reference (this file and fields.go) is the
// truth: strict JSON, every rule, every message. The scanner (scan.go) reads
// the one shape that nearly every record has, several times as fast, and gives
// up on anything else; what it accepts equals the reference byte for byte,
// which FuzzDecode proves.
type Decoder struct {
	limits  Limits
	json    *jsontext.Decoder
	input   *bytes.Buffer
	text    []byte // unescaped strings of the last event
	scratch []byte // encoding that is hashed
	members [maxFields]value
	zones   map[string]bool
}

// NewDecoder returns a decoder by these limits.
func NewDecoder(limits Limits) *Decoder {
	input := new(bytes.Buffer)
	return &Decoder{limits: limits, input: input, json: jsontext.NewDecoder(input), zones: map[string]bool{}}
}

// Decode reads rec, which was found on the topic of that role, into ev and
// returns nil, or why it is not an event: too_large, malformed, unknown_type,
// wrong_topic, missing_field or invalid_field, tested in this order. The other
// codes are the consumer's: misrouted, then too_late and in_future
// ([Limits.Late]), then conflict.
//
// Of a rejected record only ev.WorkspaceID means anything: it is the workspace
// if that could be read and is valid, else empty. ev's byte slices are valid
// until the next Decode and as long as rec.Value.
func (d *Decoder) Decode(topic Topic, rec *Record, ev *Event) *Rejection {
	if len(rec.Value) > d.limits.MaxValueBytes {
		resetEvent(ev)
		return reject(TooLarge, "the value has %d bytes, at most %d are read; send less in one event", len(rec.Value), d.limits.MaxValueBytes)
	}
	binary := len(rec.Headers) > 0 && isBinaryMode(rec)
	if topic == ConsumptionTopic && !binary && d.scan(rec.Value, ev) {
		return nil
	}
	return d.reference(topic, rec, binary, ev)
}

func resetEvent(ev *Event) { *ev = Event{Attributes: ev.Attributes[:0]} }

// isBinaryMode follows the CloudEvents Kafka binding: a content type of
// application/cloudevents is structured mode whatever else is there, else the
// header ce_specversion makes it binary mode.
func isBinaryMode(rec *Record) bool {
	if contentType, ok := header(rec, "content-type"); ok && bytes.HasPrefix(bytes.ToLower(contentType), []byte("application/cloudevents")) {
		return false
	}
	_, ok := header(rec, "ce_specversion")
	return ok
}

// value is one attribute or data field as it was found.
type value struct {
	raw    []byte // valid JSON, or the text of a header
	header bool
}

// absent reports whether the field is missing; null is absent.
func (v value) absent() bool {
	return v.raw == nil || !v.header && string(v.raw) == "null"
}

// envelope holds the CloudEvents attributes that mean anything here.
type envelope struct {
	specversion, id, source, typ, time, data value
}

func (e *envelope) attribute(name string) *value {
	switch name {
	case "specversion":
		return &e.specversion
	case "id":
		return &e.id
	case "source":
		return &e.source
	case "type":
		return &e.typ
	case "time":
		return &e.time
	}
	return nil
}

// reference decodes by the rules, in the order of the codes.
func (d *Decoder) reference(topic Topic, rec *Record, binary bool, ev *Event) *Rejection {
	resetEvent(ev)
	d.text = d.text[:0]
	if len(rec.Value) == 0 {
		return reject(Malformed, "the value is empty; send a CloudEvents 1.0 event as JSON")
	}
	var (
		env      envelope
		rejected *Rejection
	)
	if binary {
		env, rejected = d.binaryEnvelope(rec)
	} else {
		env, rejected = d.structuredEnvelope(rec.Value)
	}
	if rejected != nil {
		return rejected
	}
	return d.event(topic, &env, ev)
}

func (d *Decoder) structuredEnvelope(json []byte) (envelope, *Rejection) {
	var env envelope
	if rejected := d.strict(json); rejected != nil {
		return env, rejected
	}
	if firstByte(json) != '{' {
		return env, reject(Malformed, "the value is JSON but not an object; send a CloudEvents 1.0 event")
	}
	d.eachMember(json, func(name string, raw []byte) {
		if name == "data" {
			env.data.raw = raw
		} else if attribute := env.attribute(name); attribute != nil {
			attribute.raw = raw
		}
	})
	return env, nil
}

func (d *Decoder) binaryEnvelope(rec *Record) (envelope, *Rejection) {
	env := envelope{data: value{raw: rec.Value}}
	for i := range rec.Headers {
		h := &rec.Headers[i]
		if len(h.Key) < 3 || h.Key[:3] != "ce_" {
			continue
		}
		attribute := env.attribute(h.Key[3:])
		switch {
		case attribute == nil:
		case attribute.raw != nil:
			return env, reject(Malformed, "header %s is there twice; send it once", h.Key)
		case !validUTF8(h.Value):
			return env, reject(Malformed, "header %s is not valid UTF-8", h.Key)
		default:
			*attribute = value{raw: h.Value, header: true}
		}
	}
	if rejected := d.strict(rec.Value); rejected != nil {
		return env, rejected
	}
	if firstByte(rec.Value) != '{' {
		return env, reject(Malformed, "the value is JSON but not an object; in binary mode it is the event's data")
	}
	return env, nil
}

// strict returns a rejection unless json is exactly one JSON value, in valid
// UTF-8 and without a duplicate key, down to the deepest extra field.
func (d *Decoder) strict(json []byte) *Rejection {
	d.input.Reset()
	d.input.Write(json)
	d.json.Reset(d.input)
	_, err := d.json.ReadValue()
	if err == nil {
		_, err = d.json.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			return reject(Malformed, "the value goes on behind the JSON object; send one event per record")
		}
	}
	if errors.Is(err, io.EOF) {
		return reject(Malformed, "the value holds only white space; send a CloudEvents 1.0 event as JSON")
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		// Not its own text, which may vary from one process to the next: a
		// range must give the same rows again (invariant 4).
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return reject(Malformed, "the key %.200q is there twice (byte %d); send each key once", syntactic.JSONPointer, syntactic.ByteOffset)
		}
		return reject(Malformed, "not JSON at byte %d (in %.200q): %v", syntactic.ByteOffset, syntactic.JSONPointer, syntactic.Err)
	}
	return reject(Malformed, "not JSON: %v", err)
}

// eachMember calls visit with the name and the raw value of each member of an
// object that strict has accepted.
func (d *Decoder) eachMember(object []byte, visit func(name string, raw []byte)) {
	d.input.Reset()
	d.input.Write(object)
	d.json.Reset(d.input)
	if _, err := d.json.ReadToken(); err != nil {
		return
	}
	for d.json.PeekKind() == '"' {
		name, err := d.json.ReadToken()
		if err != nil {
			return
		}
		key := name.String()
		raw, err := d.json.ReadValue()
		if err != nil {
			return
		}
		end := int(d.json.InputOffset())
		visit(key, object[end-len(raw):end])
	}
}

// event applies the rules that hold in both modes.
func (d *Decoder) event(topic Topic, env *envelope, ev *Event) *Rejection {
	if v := env.specversion; !v.absent() {
		if s, ok := d.string(v); !ok || string(s) != "1.0" {
			d.offerWorkspace(env.data, ev)
			return reject(Malformed, `specversion: %s is not "1.0"; send CloudEvents 1.0`, show(v))
		}
	}
	typ := UnknownEvent
	if v := env.typ; !v.absent() {
		if s, ok := d.string(v); ok {
			typ = ParseEventType(string(s))
		}
		if typ == UnknownEvent {
			d.offerWorkspace(env.data, ev)
			return reject(UnknownType, "type: %s is not known; types are credits.consumed, credits.granted, credits.adjusted, credits.grant_voided, campaign.updated, workspace.updated", show(v))
		}
		if typ.Topic() != topic {
			d.offerWorkspace(env.data, ev)
			return reject(WrongTopic, "type: %s belongs on topic %s, this is %s", typ, typ.Topic(), topic)
		}
	}
	ev.Type = typ
	fields := fieldsOf(typ)
	isObject := firstByte(env.data.raw) == '{'
	clear(d.members[:])
	if isObject {
		d.eachMember(env.data.raw, func(name string, raw []byte) {
			for i := range fields {
				if fields[i].name == name {
					d.members[i].raw = raw
				}
			}
		})
	}
	if rejected := missing(env, fields, isObject, &d.members); rejected != nil {
		d.offerWorkspace(env.data, ev)
		return rejected
	}
	if rejected := d.invalid(env, fields, isObject, ev); rejected != nil {
		d.offerWorkspace(env.data, ev)
		return rejected
	}
	ev.ContentHash, d.scratch = contentHash(ev, d.scratch)
	return nil
}

// missing returns a rejection that names the first required field that is not
// there.
func missing(env *envelope, fields []field, isObject bool, members *[maxFields]value) *Rejection {
	for _, required := range []struct {
		name string
		v    value
	}{{"specversion", env.specversion}, {"id", env.id}, {"type", env.typ}, {"time", env.time}, {"data", env.data}} {
		if required.v.absent() {
			return reject(MissingField, "%s is missing; every event has specversion, id, type, time and data", required.name)
		}
	}
	if !isObject {
		return nil // data is invalid
	}
	for i := range fields {
		if fields[i].required && members[i].absent() {
			return reject(MissingField, "data.%s is missing; send %s", fields[i].name, fields[i].want)
		}
	}
	return nil
}

// invalid reads every field into ev and returns a rejection that names the
// first that breaks its rule.
func (d *Decoder) invalid(env *envelope, fields []field, isObject bool, ev *Event) *Rejection {
	id, ok := d.string(env.id)
	if !ok || len(id) < 1 || len(id) > maxIDBytes {
		return reject(InvalidField, "id: %s is not a string of 1 to %d bytes", show(env.id), maxIDBytes)
	}
	ev.ID = id
	if !env.source.absent() {
		source, ok := d.string(env.source)
		if !ok || len(source) > maxSourceBytes {
			return reject(InvalidField, "source: %s is not a string of at most %d bytes", show(env.source), maxSourceBytes)
		}
		ev.Source = source
	}
	if ev.Time, ok = d.instant(env.time); !ok {
		return reject(InvalidField, "time: %s is not %s", show(env.time), wantInstant)
	}
	if !isObject {
		return reject(InvalidField, "data: %s is not an object", show(env.data))
	}
	setDefaults(ev)
	for i := range fields {
		if v := d.members[i]; !v.absent() && !fields[i].read(d, v, ev) {
			return reject(InvalidField, "data.%s: %s is not %s", fields[i].name, show(v), fields[i].want)
		}
	}
	return d.finish(ev)
}

// offerWorkspace leaves the workspace of a rejected record in ev, if it can be
// read, and nothing else.
func (d *Decoder) offerWorkspace(data value, ev *Event) {
	resetEvent(ev)
	if firstByte(data.raw) != '{' {
		return
	}
	var found value
	d.eachMember(data.raw, func(name string, raw []byte) {
		if name == "workspace_id" {
			found.raw = raw
		}
	})
	if id, ok := d.string(found); ok && isName(id) {
		ev.WorkspaceID = id
	}
}

// firstByte returns the first byte that is not white space, or 0.
func firstByte(json []byte) byte {
	for _, c := range json {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}
