package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLineBytes bounds a line of NDJSON: an event has at most 1 MiB.
const maxLineBytes = 4 << 20

// rowReader reads the rows of one file.
type rowReader interface {
	// Next returns the values of the mapping's columns, valid until the next
	// call, or io.EOF.
	Next() ([]string, error)
	// Line returns the line of the file that the last row began at.
	Line() int
}

// inputFile is one file of an import while it is read.
type inputFile struct {
	rowReader
	file *os.File
	gzip *gzip.Reader
	rest io.Reader // what the row reader reads, for the hash of a whole file
}

// openInput opens a file, which may be compressed with gzip whatever its name,
// and reads its header. What is read, uncompressed, goes into sum unless it is
// nil.
func openInput(path string, m *mapping, sum io.Writer) (*inputFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot import %s: %w", path, err)
	}
	in := &inputFile{file: file}
	if err := in.start(path, m, sum); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot import %s: %w", path, err), in.Close())
	}
	return in, nil
}

func (in *inputFile) start(path string, m *mapping, sum io.Writer) error {
	buffered := bufio.NewReaderSize(in.file, 1<<18)
	var content io.Reader = buffered
	name := path
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if in.gzip, err = gzip.NewReader(buffered); err != nil {
			return err
		}
		content = in.gzip
		name = strings.TrimSuffix(name, ".gz")
	}
	if sum != nil {
		content = io.TeeReader(content, sum)
	}
	in.rest = content
	format := m.Format
	if format == "" {
		switch extension := strings.ToLower(filepath.Ext(name)); extension {
		case ".csv", ".tsv", ".txt":
			format = "csv"
		case ".ndjson", ".jsonl", ".json":
			format = "ndjson"
		default:
			return fmt.Errorf("the format of %q is not clear; set format in the mapping to csv or ndjson", extension)
		}
	}
	var err error
	if format == "csv" {
		in.rowReader, err = newCSVReader(content, m)
	} else {
		in.rowReader = newJSONReader(content, m)
	}
	return err
}

// Drain reads to the end, so that the hash covers the whole file.
func (in *inputFile) Drain() error {
	_, err := io.Copy(io.Discard, in.rest)
	return err
}

func (in *inputFile) Close() error {
	if in.gzip != nil {
		return errors.Join(in.gzip.Close(), in.file.Close())
	}
	return in.file.Close()
}

// csvReader reads RFC 4180 with a header row.
type csvReader struct {
	csv    *csv.Reader
	from   []int // column of the file for each of the mapping's
	values []string
	line   int
}

func newCSVReader(content io.Reader, m *mapping) (*csvReader, error) {
	buffered := bufio.NewReaderSize(content, 1<<16)
	// Spreadsheets begin UTF-8 with a byte order mark.
	if mark, err := buffered.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		if _, err := buffered.Discard(len(mark)); err != nil {
			return nil, err
		}
	}
	r := &csvReader{csv: csv.NewReader(buffered), values: make([]string, len(m.columns))}
	r.csv.ReuseRecord = true
	if m.Delimiter != "" {
		r.csv.Comma = []rune(m.Delimiter)[0]
	}
	header, err := r.csv.Read()
	if err != nil {
		return nil, fmt.Errorf("no header row: %w", err)
	}
	for _, column := range m.columns {
		at := slices.Index(header, column)
		if at < 0 {
			return nil, fmt.Errorf("there is no column %q, which the mapping reads; columns are %s", column, strings.Join(header, ", "))
		}
		if slices.Index(header[at+1:], column) >= 0 {
			return nil, fmt.Errorf("column %q is there twice; rename one", column)
		}
		r.from = append(r.from, at)
	}
	return r, nil
}

func (r *csvReader) Next() ([]string, error) {
	record, err := r.csv.Read()
	if err != nil {
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			r.line = parse.StartLine
		}
		return nil, err
	}
	r.line, _ = r.csv.FieldPos(0)
	for i, at := range r.from {
		r.values[i] = record[at]
	}
	return r.values, nil
}

func (r *csvReader) Line() int { return r.line }

// jsonReader reads one JSON object per line. A column is a key, or a path of
// keys with dots for nested objects; absent and null are empty.
type jsonReader struct {
	lines   *bufio.Scanner
	columns []string
	paths   [][]string
	values  []string
	line    int
}

func newJSONReader(content io.Reader, m *mapping) *jsonReader {
	r := &jsonReader{lines: bufio.NewScanner(content), columns: m.columns, values: make([]string, len(m.columns))}
	r.lines.Buffer(make([]byte, 1<<16), maxLineBytes)
	for _, column := range m.columns {
		r.paths = append(r.paths, strings.Split(column, "."))
	}
	return r
}

func (r *jsonReader) Next() ([]string, error) {
	for r.lines.Scan() {
		r.line++
		if len(bytes.TrimSpace(r.lines.Bytes())) > 0 {
			return r.values, r.parse(r.lines.Bytes())
		}
	}
	if err := r.lines.Err(); err != nil {
		r.line++
		return nil, err
	}
	return nil, io.EOF
}

func (r *jsonReader) Line() int { return r.line }

func (r *jsonReader) parse(line []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(line, &object); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	for i, column := range r.columns {
		raw, ok := object[column] // a key may itself have dots
		if !ok && len(r.paths[i]) > 1 {
			raw = descend(object, r.paths[i])
		}
		value, err := jsonText(raw)
		if err != nil {
			return fmt.Errorf("column %s: %w", column, err)
		}
		r.values[i] = value
	}
	return nil
}

// descend returns the value at a path of keys, or nil.
func descend(object map[string]json.RawMessage, path []string) json.RawMessage {
	raw := object[path[0]]
	for _, key := range path[1:] {
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) != nil {
			return nil
		}
		raw = inner[key]
	}
	return raw
}

// jsonText returns a string without quotes, a number or boolean as written.
func jsonText(raw json.RawMessage) (string, error) {
	switch {
	case len(raw) == 0, string(raw) == "null":
		return "", nil
	case raw[0] == '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err
	case raw[0] == '{', raw[0] == '[':
		return "", errors.New("it is an object or a list; name one of its keys with dots, as in a.b")
	}
	return string(raw), nil
}
