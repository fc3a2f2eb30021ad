package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// postTimeout bounds a request, the least that Standard Webhooks recommends.
	postTimeout = 15 * time.Second
	// maxAnswerBytes is what is read of an answer, so that the connection can
	// be used again; nothing is made of it.
	maxAnswerBytes = 4 << 10
	// maxAnswerHeader bounds the headers of an answer.
	maxAnswerHeader = 16 << 10
)

// newClient makes a client that connects only where the guard allows it, with
// names resolved by resolver (nil: the machine's), and follows nothing.
func newClient(g guard, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: postTimeout, Control: g.control, Resolver: resolver}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    postTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader,
			MaxIdleConns:           maxBusy,
			MaxIdleConnsPerHost:    maxBusyPerHost,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends a message to a webhook.
func (n *Notifier) post(ctx context.Context, d delivery) result {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	request, err := n.request(ctx, d)
	if err != nil {
		return result{err: err}
	}
	answer, err := n.client.Do(request)
	if err != nil {
		return result{err: plain(ctx, err)}
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswerBytes)) // the status says it all
	return result{
		ok:         answer.StatusCode >= 200 && answer.StatusCode < 300,
		status:     answer.StatusCode,
		retryAfter: retryAfter(answer.Header.Get("Retry-After"), n.cfg.Now()),
	}
}

func (n *Notifier) request(ctx context.Context, d delivery) (*http.Request, error) {
	target, err := url.Parse(d.url)
	switch {
	case err != nil || target.Host == "":
		return nil, fmt.Errorf("%w: not an absolute URL", errRefused)
	case target.Scheme != "https" && (target.Scheme != "http" || !n.cfg.AllowHTTP):
		return nil, fmt.Errorf("%w: scheme %.20q", errRefused, target.Scheme)
	}
	body, err := n.webhookBody(d.msg, d.format)
	if err != nil {
		return nil, err
	}
	now := n.cfg.Now()
	secrets := schemas.WebhookSecrets(n.cfg.Secret, d.workspaceID, d.msg.ruleID, d.rule.secretVersion, d.rule.secretRotatedAt, now)
	signature, err := schemas.SignWebhook(secrets, d.webhookID, now, body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: not a URL", errRefused)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "drawdown")
	request.Header.Set("webhook-id", d.webhookID)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	return request, nil
}

// plain is an error without the URL (invariant 6), in words for the owner of
// the rule.
func plain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", postTimeout)
	}
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3); 0 if
// there is none that can be read.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
