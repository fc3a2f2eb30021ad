package queryapi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// SessionKeyBytes is the length of Config.SessionKey.
const SessionKeyBytes = 32

// sealer makes texts that only it can read and make. Each purpose has a key of
// its own, so that what was sealed for one is nothing for another.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte, purpose string) (sealer, error) {
	if len(key) != SessionKeyBytes {
		return sealer{}, fmt.Errorf("a session key has %d bytes, not %d", SessionKeyBytes, len(key))
	}
	own, err := hkdf.Key(sha256.New, key, nil, "drawdown "+purpose, SessionKeyBytes)
	if err != nil {
		return sealer{}, fmt.Errorf("cannot derive a key: %w", err)
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return sealer{}, fmt.Errorf("cannot make a cipher: %w", err)
	}
	// 96 random bits as nonce are good for 2^32 texts under a key.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("cannot make a cipher: %w", err)
	}
	return sealer{aead}, nil
}

func (s sealer) seal(content any) (string, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("cannot encode: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, nil)), nil //nolint:gosec // the nonce is random and in the text: NewGCMWithRandomNonce
}

// open reads into content what seal made; false if it did not make it.
func (s sealer) open(sealed string, content any) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return false
	}
	text, err := s.aead.Open(nil, nil, raw, nil)
	return err == nil && json.Unmarshal(text, content) == nil
}

// randomText is an unguessable text: 130 bits, as crypto/rand.Text.
func randomText() string { return rand.Text() }
