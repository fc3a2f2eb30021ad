package queryapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// keyPrefix begins every API key, so that scanners of leaked secrets and the
// one who reads a log know what it is.
const keyPrefix = "ck_"

// newKey makes an API key of 256 random bits.
func newKey() string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails, crypto/rand says
	return keyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

type keyHash [sha256.Size]byte

// apiKey is what is known of a key.
type apiKey struct {
	hash        keyHash
	id          string
	workspaceID string
	name        string
	scopes      []string
	createdBy   string
	createdAt   time.Time
	expiresAt   *time.Time
	revokedAt   *time.Time
	usedAt      time.Time // zero: never
}

// valid says whether the key is good at now. It tolerates no skew: who revokes
// or lets expire means it.
func (k *apiKey) valid(now time.Time) bool {
	return k.id != "" && k.revokedAt == nil && (k.expiresAt == nil || now.Before(*k.expiresAt))
}

// keyCache holds what was read of keys, known or not, for keyAge.
type keyCache struct {
	mu      sync.Mutex
	read    map[keyHash]readKey
	revoked map[keyHash]struct{} // by this process, whatever a read that was under way says
	used    map[string]time.Time // by key id, what was written last
	once    singleflight.Group
}

type readKey struct {
	apiKey
	at time.Time
}

const (
	// keyAge is how long a revoked key may still be taken by a server that has
	// not revoked it: half of the 2 s that are promised, so that a slow answer
	// of the store still fits.
	keyAge = time.Second
	// maxKeys bounds the cache to some MB against a flood of made-up keys.
	maxKeys = 10_000
	// keyUseEvery is the least time between two records of a key's use.
	keyUseEvery = time.Minute
)

func (c *keyCache) get(hash keyHash, now time.Time) (apiKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, gone := c.revoked[hash]; gone {
		return apiKey{}, true
	}
	k, ok := c.read[hash]
	return k.apiKey, ok && now.Sub(k.at) < keyAge && !now.Before(k.at)
}

func (c *keyCache) put(hash keyHash, k apiKey, readAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil || len(c.read) >= maxKeys {
		c.read = make(map[keyHash]readKey)
	}
	c.read[hash] = readKey{k, readAt}
}

func (c *keyCache) revoke(hash keyHash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revoked == nil {
		c.revoked = make(map[keyHash]struct{})
	}
	c.revoked[hash] = struct{}{}
}

// dueUse says whether the use of a key is to be recorded, and takes it on.
func (c *keyCache) dueUse(k apiKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil || len(c.used) >= maxKeys {
		c.used = make(map[string]time.Time)
	}
	last := c.used[k.id]
	if k.usedAt.After(last) {
		last = k.usedAt
	}
	if now.Sub(last) < keyUseEvery {
		return false
	}
	c.used[k.id] = now
	return true
}

const keyQuery = `
SELECT any(key_id) AS id, any(workspace_id), any(name), any(scopes), any(created_by), any(created_at), any(expires_at), max(revoked_at)
FROM api_keys WHERE key_hash = unhex({hash:String})
GROUP BY key_hash`

const keyUseQuery = `SELECT max(used_at) FROM api_key_uses WHERE key_id = {key:String}`

// keyPrincipal is who an API key stands for.
func (s *Server) keyPrincipal(ctx context.Context, text string) (Principal, error) {
	hash := keyHash(sha256.Sum256([]byte(text)))
	k, ok := s.keys.get(hash, s.cfg.Now())
	if !ok {
		read := s.keys.once.DoChan(string(hash[:]), func() (any, error) {
			shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
			defer cancel()
			return unlessPanic(func() (apiKey, error) { return s.readKey(shared, hash) })
		})
		select {
		case result := <-read:
			if result.Err != nil {
				return Principal{}, result.Err
			}
			k, _ = result.Val.(apiKey)
		case <-ctx.Done():
			return Principal{}, ctx.Err()
		}
		// Revoked here while it was being read.
		if now, gone := s.keys.get(hash, s.cfg.Now()); gone && now.id == "" {
			k = apiKey{}
		}
	}
	now := s.cfg.Now()
	if !k.valid(now) {
		return Principal{}, unauthorized("the API key is unknown, revoked or expired")
	}
	if s.keys.dueUse(k, now) {
		if err := s.insert(ctx, "api_key_uses", "INSERT INTO api_key_uses (key_id, used_at)", k.id, now.UTC()); err != nil {
			s.cfg.Log.WarnContext(ctx, "use of an API key is not recorded", "request_id", requestIDFrom(ctx), "key_id", k.id, "error", err)
		}
	}
	return Principal{
		Subject: "key:" + k.id, Credential: CredentialKey, KeyID: k.id,
		Workspaces: []string{k.workspaceID}, Scopes: knownScopes(k.scopes),
	}, nil
}

// readKey asks ClickHouse for a key; one that is not there has no id.
func (s *Server) readKey(ctx context.Context, hash keyHash) (apiKey, error) {
	// Before the question, so that the answer is not taken for newer than it is.
	at := s.cfg.Now()
	k, bound := apiKey{hash: hash}, parameters{}
	bound.String("hash", hex.EncodeToString(hash[:]))
	err := s.query(ctx, "key", keyQuery, bound, func(scan func(...any) error) error {
		return scan(&k.id, &k.workspaceID, &k.name, &k.scopes, &k.createdBy, &k.createdAt, &k.expiresAt, &k.revokedAt)
	})
	if err == nil && k.id != "" {
		bound = parameters{}
		bound.String("key", k.id)
		err = s.query(ctx, "key_use", keyUseQuery, bound, func(scan func(...any) error) error { return scan(&k.usedAt) })
	}
	if err == nil {
		s.keys.put(hash, k, at)
	}
	return k, err
}

// knownScopes are the scopes among words, each once; what is no scope here
// counts for nothing.
func knownScopes(words []string) []Scope {
	var scopes []Scope
	for _, scope := range everyScope {
		if slices.Contains(words, string(scope)) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

func isKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }
