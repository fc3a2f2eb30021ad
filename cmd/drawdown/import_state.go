package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// importState is <data>/imports/<import id>.json: what an import has done, and
// the shift that every import under this id must have, because an event is the
// same only with the same time.
type importState struct {
	ImportID  string `json:"import_id"`
	Content   string `json:"content_sha256"`
	Mapping   string `json:"mapping_sha256"`
	ShiftDays int64  `json:"shift_days"`
	Rows      int64  `json:"rows"`
	// AckedRows of the first rows are in Kafka.
	AckedRows int64     `json:"acked_rows"`
	Topic     string    `json:"topic"`
	ClusterID string    `json:"cluster_id"`
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// importIDs are also file names.
var importIDs = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

func importStatePath(dataDir, importID string) string {
	return filepath.Join(dataDir, "imports", importID+".json")
}

// readImportState returns the state of an import, or false if there is none.
func readImportState(path string) (importState, bool, error) {
	var state importState
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state, false, nil
	case err != nil:
		return state, false, fmt.Errorf("cannot read the state of the import: %w", err)
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return state, false, fmt.Errorf("cannot read the state of the import from %s: %w; if the file is damaged, import with --import-id and the --shift-days of the first time", path, err)
	}
	return state, true, nil
}
