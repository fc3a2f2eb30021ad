package queryapi

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/danielgtaylor/huma/v2"
)

// encodedBody is a body as JSON, cut where its freshness goes, so that an
// answer at hand is encoded once however often it is given.
type encodedBody struct {
	head, tail []byte
}

// unknownFreshness ends the head of a body that was encoded without freshness;
// in a text, which is quoted, it cannot stand.
var unknownFreshness = []byte(`,"freshness":null,"revision":`)

// encodedOf cuts the text of a body; nil if it has no freshness of its own.
func encodedOf(text []byte) *encodedBody {
	at := bytes.LastIndex(text, unknownFreshness)
	if at < 0 {
		return nil
	}
	null := at + bytes.Index(unknownFreshness, []byte("null"))
	return &encodedBody{head: text[:null], tail: text[null+len("null"):]}
}

// jsonFormat is how bodies are written and read.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, body any) error {
		if b, ok := body.(interface{ figures() *Figures }); ok && b.figures().encoded != nil {
			return b.figures().encoded.write(w, b.figures().Freshness)
		}
		text, err := encodeJSON(body)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	},
	Unmarshal: json.Unmarshal,
}

// write writes the body with freshness, at once: the first write decides
// whether an answer is worth compressing.
func (e *encodedBody) write(w io.Writer, freshness *Freshness) error {
	known, err := json.Marshal(freshness)
	if err != nil {
		return err
	}
	text := make([]byte, 0, len(e.head)+len(known)+len(e.tail))
	text = append(append(append(text, e.head...), known...), e.tail...)
	_, err = w.Write(text)
	return err
}

func encodeJSON(body any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
