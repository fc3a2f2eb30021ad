package schemas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

const (
	// MinWebhookMaster is the least length of the master of webhook secrets, in
	// bytes: that of what is derived from it.
	MinWebhookMaster = sha256.Size
	// WebhookOverlap is how long a rotated secret still signs, beside the new
	// one: a day to bring the new one to every receiver.
	WebhookOverlap = 24 * time.Hour

	webhookPrefix = "whsec_"
	// webhookDomain keeps what is derived here apart from anything else that
	// may ever be derived from the same master.
	webhookDomain = "drawdown/webhook-secret/v1"
)

// WebhookSecret returns the secret that signs the deliveries of an alert rule,
// in the form of Standard Webhooks 1.0: whsec_ and 32 bytes in base64. It is
// derived from the master of the installation and kept nowhere: whoever has
// the tables has no secret. A rotation is the next version.
func WebhookSecret(master []byte, workspaceID, ruleID string, version uint32) string {
	mac := hmac.New(sha256.New, master)
	for _, part := range []string{webhookDomain, workspaceID, ruleID} {
		// With its length, so that no two lists of parts are one text.
		_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = mac.Write([]byte(part))
	}
	_, _ = mac.Write(binary.BigEndian.AppendUint32(nil, version))
	return webhookPrefix + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// WebhookSecrets returns the secrets that sign at an instant: that of the
// version, and for [WebhookOverlap] after it was rotated the one before. Who
// rotates twice in that time takes the first one out of use at once.
func WebhookSecrets(master []byte, workspaceID, ruleID string, version uint32, rotatedAt *time.Time, at time.Time) []string {
	secrets := []string{WebhookSecret(master, workspaceID, ruleID, version)}
	if version > 0 && rotatedAt != nil && at.Before(rotatedAt.Add(WebhookOverlap)) {
		secrets = append(secrets, WebhookSecret(master, workspaceID, ruleID, version-1))
	}
	return secrets
}

// SignWebhook returns the header webhook-signature of Standard Webhooks 1.0: a
// signature by each secret over id, the second of at, and body, separated by
// spaces. id must not contain a full stop. A secret that is none is an error.
func SignWebhook(secrets []string, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, webhookPrefix))
		if err != nil || !strings.HasPrefix(secret, webhookPrefix) {
			return "", fmt.Errorf("cannot sign webhook %s: secret %d is not whsec_ and base64", id, i)
		}
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		_, _ = mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
