package embedded

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// entry frames data as kfake does.
func entry(data string) []byte {
	versioned := append([]byte{1, 0}, data...)
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(versioned)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(versioned, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, versioned...)
}

func FuzzMendKafkaLogsKeepsWholeEntriesAndNothingElse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{200, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'})
	f.Add(entry(`{"type":"commit"}`)[:12])
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0})
	f.Add(make([]byte, 64))
	whole := append(entry(`{"a":1}`), entry(`{}`)...)
	f.Fuzz(func(t *testing.T, torn []byte) {
		if wholeEntries(torn) != 0 {
			return // a whole entry, not a torn one
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "groups.log")
		if err := os.WriteFile(path, append(bytes.Clone(whole), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := MendKafkaLogs(dir, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, whole) {
			t.Fatalf("left %d bytes, want %d", len(got), len(whole))
		}
	})
}
