package schemas_test

import (
	"bytes"
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/drawdown/drawdown/schemas"
)

func TestWebhookSecretsAreApart(t *testing.T) {
	master := bytes.Repeat([]byte{7}, schemas.MinWebhookMaster)
	seen := map[string]bool{}
	for _, secret := range []string{
		schemas.WebhookSecret(master, "ws_a", "r", 1),
		schemas.WebhookSecret(master, "ws_a", "r", 2),
		schemas.WebhookSecret(master, "ws_ar", "", 1),
		schemas.WebhookSecret(master, "ws_", "ar", 1),
		schemas.WebhookSecret(master, "ws_b", "r", 1),
		schemas.WebhookSecret(bytes.Repeat([]byte{8}, schemas.MinWebhookMaster), "ws_a", "r", 1),
	} {
		if seen[secret] {
			t.Errorf("%s twice", secret)
		}
		seen[secret] = true
	}
	// Of another year's release: whoever changes it takes every receiver's secret away.
	if got, want := schemas.WebhookSecret(master, "ws_a", "r", 1), "whsec_nlD6Dw9ofLxcJ1yU+ZSb5uEkWGjNKBLOleQWsbaJb0w="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRotatedSecretsSignForADay verifies with the library that receivers use.
func TestRotatedSecretsSignForADay(t *testing.T) {
	master := bytes.Repeat([]byte{7}, schemas.MinWebhookMaster)
	now := time.Now()
	body := []byte(`{"type":"alert.firing"}`)
	for _, c := range []struct {
		version     uint32
		rotated     time.Duration // ago; 0: never
		old, recent bool
	}{
		{version: 1, recent: true},
		{version: 2, rotated: time.Minute, old: true, recent: true},
		{version: 2, rotated: 24*time.Hour - time.Minute, old: true, recent: true},
		{version: 2, rotated: 24*time.Hour + time.Minute, recent: true},
		{version: 0, rotated: time.Minute, recent: true},
	} {
		var rotatedAt *time.Time
		if c.rotated > 0 {
			at := now.Add(-c.rotated)
			rotatedAt = &at
		}
		secrets := schemas.WebhookSecrets(master, "ws_a", "r", c.version, rotatedAt, now)
		signature, err := schemas.SignWebhook(secrets, "i/firing", now, body)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		header.Set("webhook-id", "i/firing")
		header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		header.Set("webhook-signature", signature)
		for version, want := range map[uint32]bool{c.version: c.recent, c.version - 1: c.old, c.version + 1: false} {
			receiver, err := standardwebhooks.NewWebhook(schemas.WebhookSecret(master, "ws_a", "r", version))
			if err != nil {
				t.Fatal(err)
			}
			if err := receiver.Verify(body, header); (err == nil) != want {
				t.Errorf("%+v by version %d: %v", c, version, err)
			}
		}
	}
	for _, secret := range []string{"", "whsec_*", "c2VjcmV0"} {
		if signature, err := schemas.SignWebhook([]string{secret}, "i", now, body); err == nil {
			t.Errorf("secret %q signs: %s", secret, signature)
		}
	}
}
