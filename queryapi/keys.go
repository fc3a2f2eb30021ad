package queryapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// Key is an API key without its secret.
type Key struct {
	KeyID      string   `json:"key_id"`
	Name       string   `json:"name"`
	Scopes     []Scope  `json:"scopes" nullable:"false"`
	CreatedBy  string   `json:"created_by" doc:"Subject of who made it"`
	CreatedAt  Instant  `json:"created_at"`
	ExpiresAt  *Instant `json:"expires_at" doc:"null: never"`
	LastUsedAt *Instant `json:"last_used_at" doc:"To the minute; null: never"`
	RevokedAt  *Instant `json:"revoked_at" doc:"null: it is not"`
}

// Keys are all of a workspace, also those that are revoked or expired.
type Keys struct {
	Items []Key `json:"items" nullable:"false" doc:"The newest first"`
}

// NewKey is a key that was just made.
type NewKey struct {
	Key
	Secret string `json:"key" doc:"The API key, to be sent as bearer token; it is shown this once and kept nowhere"`
}

// KeyRequest is the body of a request for a key.
type KeyRequest struct {
	Name      string   `json:"name" minLength:"1" maxLength:"128"`
	Scopes    []string `json:"scopes" minItems:"1" nullable:"false" uniqueItems:"true" enum:"credits:read,credits:export,credits:admin,alerts:write,events:write,operator" doc:"At most those of who makes it"`
	ExpiresAt string   `json:"expires_at,omitempty" format:"date-time" doc:"By default never"`
}

// KeysInput asks for the keys of a workspace.
type KeysInput struct {
	WorkspaceID string `path:"workspace_id"`
}

// Resolve names every wrong parameter.
func (*KeysInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// NewKeyInput asks for a new key.
type NewKeyInput struct {
	WorkspaceID string `path:"workspace_id"`
	Body        KeyRequest

	expiresAt schemas.Millis
}

// Resolve names every wrong parameter.
func (in *NewKeyInput) Resolve(ctx huma.Context) []error {
	errs := strict(ctx)
	var err error
	if in.expiresAt, err = instantParam("expires_at", in.Body.ExpiresAt); err != nil {
		errs = append(errs, wrong("body.expires_at", in.Body.ExpiresAt, "not an RFC 3339 instant with zone before 2100"))
	}
	if strings.TrimSpace(in.Body.Name) == "" {
		errs = append(errs, wrong("body.name", in.Body.Name, "blank"))
	}
	return errs
}

// KeyInput names a key.
type KeyInput struct {
	WorkspaceID string `path:"workspace_id"`
	KeyID       string `path:"key_id"`
}

// Resolve names every wrong parameter.
func (*KeyInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// KeysOutput is the response.
type KeysOutput struct{ Body Keys }

// NewKeyOutput is the response.
type NewKeyOutput struct{ Body NewKey }

func (s *Server) registerKeys(api huma.API) {
	const path = "/v1/workspaces/{workspace_id}/keys"
	register(s, api, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: path, Metadata: needsAnyScope(),
		Summary: "The API keys of a workspace",
	}, s.listKeys)
	register(s, api, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated, Metadata: needsAnyScope(),
		MaxBodyBytes: 64 << 10,
		Summary:      "Make an API key", Description: "Its scopes are at most those of who makes it. API keys cannot make keys, so that revoking one ends what it could do.",
	}, s.createKey)
	register(s, api, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: path + "/{key_id}", DefaultStatus: http.StatusNoContent, Metadata: needsAnyScope(),
		Summary: "Revoke an API key", Description: "For who made it and who has all its scopes. It is refused at once here and within 2 seconds by every other server. Doing it again changes nothing.",
	}, s.revokeKey)
}

// keysQuery reads 10,000 keys at most, far above what a workspace has.
const keysQuery = `
SELECT k.key_hash, k.id, k.name, k.scopes, k.created_by, k.created_at, k.expires_at, k.revoked_at, u.used_at FROM (
    SELECT key_hash, any(key_id) AS id, any(name) AS name, any(scopes) AS scopes, any(created_by) AS created_by,
        any(created_at) AS created_at, any(expires_at) AS expires_at, max(revoked_at) AS revoked_at
    FROM api_keys WHERE workspace_id = {workspace:String}
    GROUP BY key_hash ORDER BY created_at DESC, id LIMIT 10000
) AS k
LEFT JOIN (SELECT key_id, max(used_at) AS used_at FROM api_key_uses GROUP BY key_id) AS u ON u.key_id = k.id
ORDER BY k.created_at DESC, k.id`

// workspaceKeys reads the keys of a workspace.
func (s *Server) workspaceKeys(ctx context.Context, workspaceID string) ([]apiKey, error) {
	var keys []apiKey
	bound := parameters{}
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "keys", keysQuery, bound, func(scan func(...any) error) error {
		k := apiKey{workspaceID: workspaceID}
		var hash string
		if err := scan(&hash, &k.id, &k.name, &k.scopes, &k.createdBy, &k.createdAt, &k.expiresAt, &k.revokedAt, &k.usedAt); err != nil {
			return err
		}
		if copy(k.hash[:], hash) != len(k.hash) {
			return fmt.Errorf("key %s has a hash of %d bytes", k.id, len(hash))
		}
		keys = append(keys, k)
		return nil
	})
	return keys, err
}

func (k *apiKey) body() Key {
	body := Key{
		KeyID: k.id, Name: k.name, Scopes: append([]Scope{}, knownScopes(k.scopes)...), CreatedBy: k.createdBy,
		CreatedAt: instant(millisOf(k.createdAt)),
		ExpiresAt: instantOrNull(millisOrNone(k.expiresAt)), RevokedAt: instantOrNull(millisOrNone(k.revokedAt)),
	}
	if k.usedAt.Unix() > 0 {
		used := instant(millisOf(k.usedAt))
		body.LastUsedAt = &used
	}
	return body
}

func (s *Server) listKeys(ctx context.Context, in *KeysInput) (*KeysOutput, error) {
	keys, err := s.workspaceKeys(ctx, in.WorkspaceID)
	if err != nil {
		return nil, err
	}
	out := &KeysOutput{Keys{Items: make([]Key, 0, len(keys))}}
	for i := range keys {
		out.Body.Items = append(out.Body.Items, keys[i].body())
	}
	return out, nil
}

func (s *Server) createKey(ctx context.Context, in *NewKeyInput) (*NewKeyOutput, error) {
	principal := principalFrom(ctx)
	if principal.Credential == CredentialKey {
		return nil, problem(CodeForbidden, "an API key cannot make keys; sign in, or use a token of the issuer")
	}
	scopes := knownScopes(in.Body.Scopes)
	if err := principal.needs(scopes); err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	if in.expiresAt != schemas.NoInstant && in.expiresAt <= millisOf(now) {
		return nil, problem(CodeInvalidParameter, "expires_at is not in the future").about("body.expires_at", in.Body.ExpiresAt)
	}
	secret := newKey()
	k := apiKey{
		hash: sha256.Sum256([]byte(secret)), id: uuid.Must(uuid.NewV7()).String(), workspaceID: in.WorkspaceID,
		name: in.Body.Name, createdBy: principal.Subject, createdAt: now,
	}
	for _, scope := range scopes {
		k.scopes = append(k.scopes, string(scope))
	}
	if in.expiresAt != schemas.NoInstant {
		at := timeOf(in.expiresAt)
		k.expiresAt = &at
	}
	if err := s.audit(ctx, in.WorkspaceID, actionKeyCreate, map[string]any{
		"key_id": k.id, "name": k.name, "scopes": k.scopes, "expires_at": in.Body.ExpiresAt,
	}); err != nil {
		return nil, err
	}
	if err := s.insertKey(ctx, &k); err != nil {
		return nil, err
	}
	return &NewKeyOutput{NewKey{Key: k.body(), Secret: secret}}, nil
}

func (s *Server) insertKey(ctx context.Context, k *apiKey) error {
	return s.insert(ctx, "api_keys",
		"INSERT INTO api_keys (key_hash, key_id, workspace_id, name, scopes, created_by, created_at, expires_at, revoked_at)",
		string(k.hash[:]), k.id, k.workspaceID, k.name, k.scopes, k.createdBy, k.createdAt, k.expiresAt, k.revokedAt)
}

func (s *Server) revokeKey(ctx context.Context, in *KeyInput) (*struct{}, error) {
	keys, err := s.workspaceKeys(ctx, in.WorkspaceID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(keys, func(k apiKey) bool { return k.id == in.KeyID })
	if i < 0 {
		return nil, problem(CodeKeyNotFound, "the workspace has no such key")
	}
	k, principal := &keys[i], principalFrom(ctx)
	// A key may end itself: whoever finds one can make it harmless.
	if k.createdBy != principal.Subject && k.id != principal.KeyID {
		if err := principal.needs(knownScopes(k.scopes)); err != nil {
			return nil, err
		}
	}
	if k.revokedAt != nil {
		return nil, nil
	}
	if err := s.audit(ctx, in.WorkspaceID, actionKeyRevoke, map[string]any{"key_id": k.id, "name": k.name}); err != nil {
		return nil, err
	}
	at := s.cfg.Now().UTC().Truncate(time.Millisecond)
	k.revokedAt = &at
	if err := s.insertKey(ctx, k); err != nil {
		return nil, err
	}
	s.keys.revoke(k.hash)
	return nil, nil
}
