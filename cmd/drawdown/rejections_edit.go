package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/drawdown/drawdown/schemas"
)

// prepare makes what is sent for a rejection, or says why nothing can be.
func (r *replaying) prepare(ctx context.Context, rejected *rejectedRecord) (send replayRecord, why string, err error) {
	if uint64(len(rejected.Value)) < rejected.ValueBytes {
		return send, fmt.Sprintf("only its first %d bytes were kept", len(rejected.Value)), nil
	}
	role, known := r.Kafka.topics().Role(rejected.Topic)
	if !known || role == schemas.AlertsTopic {
		return send, "its topic is none that is consumed", nil
	}
	send = replayRecord{from: rejected.place(), root: rejected.root(), role: role, value: []byte(rejected.Value), headers: r.headers(rejected)}
	if r.patch != nil || r.EditWith != "" || r.NewID {
		if why, err = r.change(ctx, rejected, &send); err != nil || why != "" {
			return send, why, err
		}
	}
	if typ := schemas.ParseEventType(attribute(&send, "type")); typ != schemas.UnknownEvent {
		send.role = typ.Topic() // wrong_topic is cured by the right one
	}
	send.eventID = attribute(&send, "id")
	r.judge(rejected, &send)
	return send, "", nil
}

// headers are those of the record, without where it was rerouted from: it
// comes anew. The replay header names the first rejection of a chain of them.
func (r *replaying) headers(rejected *rejectedRecord) []schemas.Header {
	var headers []schemas.Header
	for _, header := range rejected.Headers {
		if header.Key != schemas.OriginHeader && header.Key != schemas.ReplayHeader {
			headers = append(headers, schemas.Header{Key: header.Key, Value: []byte(header.Value)})
		}
	}
	headers = append(headers, schemas.Header{Key: schemas.ReplayHeader, Value: []byte(rejected.root())})
	if r.AllowLate {
		headers = append(headers, schemas.Header{Key: schemas.ImportHeader, Value: []byte("replay")})
	}
	return headers
}

// root is the place of the first rejection of this event: of what was replayed
// and rejected again, the one that was replayed.
func (r *rejectedRecord) root() string {
	for _, header := range r.Headers {
		if header.Key == schemas.ReplayHeader {
			return header.Value
		}
	}
	return r.place().String()
}

// judge fills in the key and whether the consumer will refuse the record.
func (r *replaying) judge(rejected *rejectedRecord, send *replayRecord) {
	record := schemas.Record{Value: send.value, Headers: send.headers, Timestamp: schemas.MillisOf(r.env.Now())}
	var event schemas.Event
	rejection := r.decoder.Decode(send.role, &record, &event)
	if rejection == nil {
		send.as = identity{workspace: string(event.WorkspaceID), id: string(event.ID), at: event.Time}
	}
	send.key = string(event.WorkspaceID)
	if send.key == "" {
		send.key = string(rejected.routingKey())
	}
	if rejection == nil {
		rejection = r.limits().Late(&record, &event)
	}
	unchanged := !r.NewID && r.patch == nil && r.EditWith == ""
	switch {
	case rejection != nil:
		send.doubt = fmt.Sprintf("%s: %s", rejection.Code, rejection.Message)
	case rejected.Code == string(schemas.Conflict) && unchanged:
		send.doubt = "conflict: another event has its id and stands; if both are to count, use --new-id"
	}
}

// change applies the edits and gives the new id.
func (r *replaying) change(ctx context.Context, rejected *rejectedRecord, send *replayRecord) (why string, err error) {
	if err := structured(send); err != nil {
		return fmt.Sprintf("it cannot be edited: %v", err), nil
	}
	if r.EditWith != "" {
		if send.value, err = editWith(ctx, r.env, r.EditWith, send.value); err != nil {
			return "", fmt.Errorf("cannot edit %s: %w", rejected.id(), err)
		}
	}
	if r.patch == nil && !r.NewID {
		return "", nil
	}
	event, err := decodeObject(send.value)
	if err != nil {
		return fmt.Sprintf("%v; change it with --edit-with", err), nil
	}
	if r.patch != nil {
		event = mergePatch(event, r.patch)
	}
	if r.NewID {
		from, err := r.firstOf(ctx, rejected)
		if err != nil {
			return "", err
		}
		event["id"] = replayID(from)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return "", fmt.Errorf("cannot encode %s: %w", rejected.id(), err)
	}
	send.value = bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	return "", nil
}

// firstOf returns the place that a new id is made from. An event that its
// producer sent twice was rejected twice; both get one id and count once.
func (r *replaying) firstOf(ctx context.Context, rejected *rejectedRecord) (string, error) {
	if root := rejected.root(); root != rejected.place().String() {
		return root, nil
	}
	if id := attribute(&replayRecord{value: []byte(rejected.Value), headers: r.headers(rejected)}, "id"); id == "" {
		return rejected.place().String(), nil // nothing says that equal ones are the same event
	}
	var first rejectionPlace
	err := r.conn.QueryRow(ctx, `SELECT topic, epoch, kpart, koff FROM rejections
		WHERE workspace_id = ? AND topic = ? AND value = ?
		  AND arrayFilter(h -> startsWith(h.1, 'ce_'), headers) = (SELECT arrayFilter(h -> startsWith(h.1, 'ce_'), headers) FROM rejections
			WHERE workspace_id = ? AND topic = ? AND epoch = ? AND kpart = ? AND koff = ? LIMIT 1)
		ORDER BY epoch, kpart, koff LIMIT 1`,
		rejected.WorkspaceID, rejected.Topic, rejected.Value,
		rejected.WorkspaceID, rejected.Topic, rejected.Epoch, rejected.Partition, rejected.Offset).
		Scan(&first.topic, &first.epoch, &first.partition, &first.offset)
	if err != nil {
		return "", fmt.Errorf("cannot look for the first rejection of %s: %w", rejected.id(), err)
	}
	return first.String(), nil
}

// replayIDPrefix begins the ids that --new-id gives.
const replayIDPrefix = "replay:"

// maxEventID is the longest id that is accepted, in bytes.
const maxEventID = 128

// replayID is a function of the place alone, so that a replay may be repeated.
func replayID(place string) string {
	id := replayIDPrefix + place
	if len(id) <= maxEventID {
		return id
	}
	sum := sha256.Sum256([]byte(place)) // a topic's name may have 249 bytes
	return replayIDPrefix + hex.EncodeToString(sum[:])
}

// isBinary is how the consumer tells the modes apart.
func isBinary(headers []schemas.Header) bool {
	binary := false
	for _, header := range headers {
		switch header.Key {
		case "content-type":
			if strings.HasPrefix(strings.ToLower(string(header.Value)), "application/cloudevents") {
				return false
			}
		case "ce_specversion":
			binary = true
		}
	}
	return binary
}

// attribute reads one of an event's own fields, or "".
func attribute(send *replayRecord, name string) string {
	if isBinary(send.headers) {
		for _, header := range send.headers {
			if header.Key == "ce_"+name {
				return string(header.Value)
			}
		}
		return ""
	}
	event, err := decodeObject(send.value)
	if err != nil {
		return ""
	}
	text, _ := event[name].(string)
	return text
}

// structured turns a record in binary mode into one whose value is the whole
// event, so that an edit sees the same form of every event.
func structured(send *replayRecord) error {
	if !isBinary(send.headers) {
		return nil
	}
	if !json.Valid(send.value) {
		return errors.New("its data is no JSON")
	}
	event := map[string]any{"data": json.RawMessage(send.value)}
	var rest []schemas.Header
	for _, header := range send.headers {
		if name, ok := strings.CutPrefix(header.Key, "ce_"); ok {
			event[name] = string(header.Value)
		} else if header.Key != "content-type" {
			rest = append(rest, header)
		}
	}
	value, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("it cannot be encoded: %w", err)
	}
	send.value, send.headers = value, rest
	return nil
}

// mergePatch applies an RFC 7396 patch: null removes, an object is merged, all
// else replaces.
func mergePatch(target, patch map[string]any) map[string]any {
	if target == nil {
		target = map[string]any{}
	}
	for name, change := range patch {
		switch change := change.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			inner, _ := target[name].(map[string]any)
			target[name] = mergePatch(inner, change)
		default:
			target[name] = change
		}
	}
	return target
}

// editWith lets a command change a file and returns what is in it then.
func editWith(ctx context.Context, env *env, command string, value []byte) (edited []byte, err error) {
	file, err := os.CreateTemp("", "drawdown-event-*.json")
	if err != nil {
		return nil, fmt.Errorf("cannot make a file for the event: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	if _, err := file.Write(value); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write the event: %w", err), file.Close())
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("cannot write the event: %w", err)
	}
	// As git calls an editor: the shell may find arguments in the command.
	editor := exec.CommandContext(ctx, "/bin/sh", "-c", command+` "$@"`, command, file.Name())
	editor.Stdin, editor.Stdout, editor.Stderr = os.Stdin, env.Stderr, env.Stderr
	if err := editor.Run(); err != nil {
		return nil, fmt.Errorf("%q failed: %w", command, err)
	}
	edited, err = os.ReadFile(file.Name())
	if err != nil {
		return nil, fmt.Errorf("cannot read the event: %w", err)
	}
	return bytes.TrimRight(edited, "\r\n"), nil
}

// routingKey is the workspace, or what the producer gave if that is unknown.
func (r *rejectedRecord) routingKey() []byte {
	if r.WorkspaceID != "" {
		return []byte(r.WorkspaceID)
	}
	return []byte(r.Key)
}
