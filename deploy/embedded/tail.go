package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// tailBytes of a child's output are enough for its last error.
const tailBytes = 2048

// tail logs a child's output line by line at debug and keeps the end of it for
// the error that says why the child ended.
type tail struct {
	log *slog.Logger

	mu   sync.Mutex
	line []byte
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if cut := len(t.kept) - tailBytes; cut > 0 {
		t.kept = append(t.kept[:0], t.kept[cut:]...)
	}
	t.line = append(t.line, b...)
	for {
		i := bytes.IndexByte(t.line, '\n')
		if i < 0 {
			break
		}
		if line := strings.TrimSpace(string(t.line[:i])); line != "" {
			t.log.Debug("embedded store says", "line", line)
		}
		t.line = append(t.line[:0], t.line[i+1:]...)
	}
	if len(t.line) > tailBytes {
		t.line = t.line[:0] // no line ends: the kept part has it
	}
	return len(b), nil
}

// String is the end of the output, on one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.kept)), " ")
}
