package queryapi

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strconv"
)

// historyPageRows is how many rows of the history are made at a time.
const historyPageRows = 1000

func (s *Server) prepareHistory(in *ExportInput, fresh freshness) exported {
	made := exported{rows: span{in.times.from, in.times.to}}
	made.open = func(ctx context.Context) (io.ReadCloser, error) {
		switch in.Format {
		case "csv":
			return pipe(ctx, func(ctx context.Context, w io.Writer) error { return s.historyCSV(ctx, w, in, fresh) })
		case "ndjson":
			return pipe(ctx, func(ctx context.Context, w io.Writer) error { return s.historyNDJSON(ctx, w, in, fresh) })
		}
		return s.historyParquet(ctx, in, fresh)
	}
	return made
}

// pipe reads what write writes. It returns with the first bytes, or why there
// are none, and Close waits for write to end.
func pipe(ctx context.Context, write func(context.Context, io.Writer) error) (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	p := &piped{PipeReader: reader, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		buffered := bufio.NewWriterSize(writer, heldBack)
		_, err := unlessPanic(func() (struct{}, error) { return struct{}{}, write(ctx, buffered) })
		if err == nil {
			err = buffered.Flush()
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	return p, nil
}

type piped struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close ends the writing and waits for its end.
func (p *piped) Close() error {
	p.cancel()
	err := p.PipeReader.Close()
	<-p.done
	return err
}

// historyItems calls each with every row, newest first, page by page: all pages
// are of the ledger, and as fresh, as the first.
func (s *Server) historyItems(ctx context.Context, in *ExportInput, fresh freshness, each func(*HistoryItem) error) error {
	page := &HistoryInput{
		WorkspaceID: in.WorkspaceID, View: in.View, From: in.From, To: in.To, TZ: in.TZ, Type: in.Type, Campaign: in.Campaign, Limit: historyPageRows,
		asked: in.times, campaign: in.campaign, zone: in.zone,
	}
	rows := 0
	for {
		made, err := s.historyPage(ctx, page, fresh)
		if err != nil {
			return err
		}
		if rows += len(made.Items); rows > maxHistoryRows {
			return problem(CodeRangeTooLarge, "more than %d rows; ask for a shorter range, or view=grouped", maxHistoryRows).about("query.from", in.From)
		}
		for i := range made.Items {
			if err := each(&made.Items[i]); err != nil {
				return err
			}
		}
		if made.NextCursor == nil {
			return nil
		}
		if page.cursor, err = parseHistoryCursor(*made.NextCursor, page.listing()); err != nil {
			return err
		}
	}
}

func (s *Server) historyNDJSON(ctx context.Context, w io.Writer, in *ExportInput, fresh freshness) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return s.historyItems(ctx, in, fresh, func(item *HistoryItem) error { return encoder.Encode(item) })
}

// historyColumns are those of the flat formats: all fields but the sources,
// which are a list.
var historyColumns = []struct {
	name string
	kind string // in ClickHouse
}{
	{"entry_id", "String"}, {"type", "String"}, {"at", "DateTime64(3, 'UTC')"},
	{"credits", "Decimal(38, 6)"}, {"change", "Decimal(38, 6)"}, {"balance_after", "Decimal(38, 6)"}, {"unmoved", "Nullable(String)"},
	{"campaign_id", "Nullable(String)"}, {"action", "Nullable(String)"}, {"actor", "Nullable(String)"}, {"event_id", "Nullable(String)"},
	{"grant_id", "Nullable(String)"}, {"note", "Nullable(String)"}, {"source", "Nullable(String)"}, {"attributes", "Map(String, String)"},
	{"late", "Nullable(Bool)"}, {"from", "Nullable(DateTime64(3, 'UTC'))"}, {"to", "Nullable(DateTime64(3, 'UTC'))"},
	{"events", "Nullable(Int64)"}, {"refunds", "Nullable(Decimal(38, 6))"},
}

func (s *Server) historyCSV(ctx context.Context, w io.Writer, in *ExportInput, fresh freshness) error {
	out := csv.NewWriter(w)
	header := make([]string, len(historyColumns))
	for i, column := range historyColumns {
		header[i] = column.name
	}
	if err := out.Write(header); err != nil {
		return err
	}
	err := s.historyItems(ctx, in, fresh, func(item *HistoryItem) error {
		attributes := ""
		if item.Attributes != nil {
			text, err := json.Marshal(item.Attributes)
			if err != nil {
				return fmt.Errorf("cannot encode attributes: %w", err)
			}
			attributes = string(text)
		}
		return out.Write([]string{
			cell(item.EntryID), item.Type, string(item.At),
			string(item.Credits), string(item.Change), string(item.BalanceAfter), text(item.Unmoved),
			cell(text(item.CampaignID)), cell(text(item.Action)), cell(text(item.Actor)), cell(text(item.EventID)),
			cell(text(item.GrantID)), cell(text(item.Note)), cell(text(item.Source)), attributes,
			printed(item.Late, strconv.FormatBool), text(item.From), text(item.To),
			printed(item.Events, func(n int64) string { return strconv.FormatInt(n, 10) }), text(item.Refunds),
		})
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// text is empty for null.
func text[T ~string](p *T) string { return printed(p, func(v T) string { return string(v) }) }

func printed[T any](p *T, print func(T) string) string {
	if p == nil {
		return ""
	}
	return print(*p)
}

// historyParquet sends the rows to ClickHouse as an external table and takes
// them back in Parquet. ClickHouse holds the table: maxHistoryRows of some
// 300 bytes stay below its max_memory_usage.
func (s *Server) historyParquet(ctx context.Context, in *ExportInput, fresh freshness) (io.ReadCloser, error) {
	structure, columns := "n UInt64", ""
	for i, column := range historyColumns {
		structure += ", `" + column.name + "` " + column.kind
		if i > 0 {
			columns += ", "
		}
		columns += "`" + column.name + "`"
	}
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	ctx, cancel := context.WithCancel(ctx)
	sent := make(chan error, 1)
	go func() {
		_, err := unlessPanic(func() (struct{}, error) { return struct{}{}, s.historyForm(ctx, form, in, fresh) })
		_ = writer.CloseWithError(err) // never fails
		sent <- err
	}()
	result, err := s.cfg.StoreHTTP.read(ctx, "SELECT "+columns+" FROM history ORDER BY n FORMAT Parquet", parameters{}, &externalTable{
		name: "history", format: "JSONEachRow", structure: structure, contentType: form.FormDataContentType(), content: reader,
	})
	_ = reader.Close() // never fails; ends the writing if it was not needed
	if sentErr := <-sent; err != nil && sentErr != nil && !errors.Is(sentErr, io.ErrClosedPipe) {
		// Why the rows came to an end is why ClickHouse got no table.
		err = sentErr
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return cancelling{result, cancel}, nil
}

type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the statement.
func (c cancelling) Close() error {
	c.cancel()
	return c.ReadCloser.Close()
}

// historyForm writes the rows as the one part of a form.
func (s *Server) historyForm(ctx context.Context, form *multipart.Writer, in *ExportInput, fresh freshness) error {
	part, err := form.CreateFormFile("history", "history")
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(part, heldBack)
	encoder := json.NewEncoder(buffered)
	n := uint64(0)
	err = s.historyItems(ctx, in, fresh, func(item *HistoryItem) error {
		n++
		attributes := item.Attributes
		if attributes == nil {
			attributes = map[string]string{}
		}
		return encoder.Encode(struct {
			N uint64 `json:"n"`
			*HistoryItem
			Attributes map[string]string `json:"attributes"`
			Sources    *struct{}         `json:"sources,omitempty"` // hides those of the item
		}{N: n, HistoryItem: item, Attributes: attributes})
	})
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = form.Close()
	}
	return err
}
