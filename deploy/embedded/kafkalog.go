package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// frameHeader of an entry in kfake's groups.log and pids.log: length of what
// follows the checksum, CRC-32C of that, version; little-endian.
const frameHeader = 4 + 4 + 2

// MendKafkaLogs cuts a torn last entry off the append-only logs in a
// broker's folder, before it starts. kfake
// ignores one when it loads but appends behind it, so that every offset commit
// after a torn write would be forgotten at the next start. (Segments it mends
// itself.)
func MendKafkaLogs(dir string, log *slog.Logger) error {
	for _, name := range []string{"groups.log", "pids.log"} {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read the broker's %s: %w", name, err)
		}
		whole := wholeEntries(b)
		if whole == len(b) {
			continue
		}
		log.Warn("cutting a torn write off the broker's log", "file", path, "bytes", len(b)-whole)
		if err := os.Truncate(path, int64(whole)); err != nil {
			return fmt.Errorf("cannot mend the broker's %s: %w", name, err)
		}
	}
	return nil
}

// wholeEntries is how many leading bytes are intact entries.
func wholeEntries(b []byte) int {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	at := 0
	for at+frameHeader <= len(b) {
		length := int64(binary.LittleEndian.Uint32(b[at:]))
		end := int64(at) + 8 + length
		if length < 2 || end > int64(len(b)) {
			break
		}
		if crc32.Checksum(b[at+8:end], castagnoli) != binary.LittleEndian.Uint32(b[at+4:]) {
			break
		}
		at = int(end)
	}
	return at
}
