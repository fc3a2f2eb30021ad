package queryapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// StoreHTTP is ClickHouse's HTTP interface: its own formats are what files are
// made of.
type StoreHTTP struct {
	URL      string // such as http://127.0.0.1:8123; empty: there are no exports
	User     string
	Password string
	Database string
}

// storeHTTPClient keeps no connection: an export outlasts a handshake, and
// nobody closes a Server. It asks no proxy.
var storeHTTPClient = &http.Client{Transport: &http.Transport{
	DisableKeepAlives:  true,
	DisableCompression: true,
	// Nothing comes before the first block of the result.
	ResponseHeaderTimeout: exportTimeout,
	TLSHandshakeTimeout:   10 * time.Second,
}}

// read begins a statement and returns its result. What ClickHouse refuses
// before the first block is a *clickhouse.Exception; what fails later ends the
// result with an error, because the last chunk is missing. body is an external
// table as multipart form data of that content type; nil: there is none.
func (h StoreHTTP) read(ctx context.Context, statement string, bound parameters, body *externalTable) (io.ReadCloser, error) {
	values := exportSettings()
	values.Set("database", h.Database)
	values.Set("query", statement)
	for name, value := range bound {
		values.Set("param_"+name, value)
	}
	method, contentType := http.MethodGet, ""
	var content io.Reader
	if body != nil {
		method, contentType, content = http.MethodPost, body.contentType, body.content
		values.Set(body.name+"_format", body.format)
		values.Set(body.name+"_structure", body.structure)
	}
	address, err := url.Parse(h.URL)
	if err != nil {
		return nil, fmt.Errorf("cannot use the HTTP address of ClickHouse: %w", err)
	}
	address.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, method, address.String(), content)
	if err != nil {
		return nil, fmt.Errorf("cannot ask ClickHouse: %w", err)
	}
	request.Header.Set("X-ClickHouse-User", h.User)
	request.Header.Set("X-ClickHouse-Key", h.Password)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := storeHTTPClient.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address has the whole statement
		}
		return nil, fmt.Errorf("cannot ask ClickHouse over HTTP at %s: %w", address.Host, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	message, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return nil, fmt.Errorf("cannot read what ClickHouse says: %w", err)
	}
	code, err := strconv.ParseInt(response.Header.Get("X-ClickHouse-Exception-Code"), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the HTTP interface of ClickHouse answers %s: %s", response.Status, strings.TrimSpace(string(message)))
	}
	return nil, &clickhouse.Exception{Code: int32(code), Name: "DB::Exception", Message: strings.TrimSpace(string(message))}
}

// externalTable is sent along with a statement, which reads it by its name.
type externalTable struct {
	name, format, structure string
	contentType             string
	content                 io.Reader
}
