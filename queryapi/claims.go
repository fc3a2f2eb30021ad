package queryapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// claims are what a token of the issuer says beyond who it is about.
type claims struct {
	workspaces []string // ids, or everyWorkspace alone
	scopes     []Scope
	notBefore  float64 // seconds since 1970; 0: not said
}

// maxClaimedWorkspaces bounds what one token may name; more are for "*".
const maxClaimedWorkspaces = 1_000

// parseClaims reads the claims of a verified token. A claim of another shape
// than documented is an error and never taken for a smaller permission that
// happens to parse; ids that cannot be one and scopes that are none here are
// left out. Names are those of package doc, to the letter: "Workspaces" is
// another claim, and one that is there twice makes the token none.
func parseClaims(payload []byte) (claims, error) {
	var raw struct {
		Workspaces jsontext.Value `json:"workspaces"`
		Scope      *string        `json:"scope"`
		SCP        jsontext.Value `json:"scp"`
		NotBefore  float64        `json:"nbf"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		return claims{}, fmt.Errorf("cannot read the claims: %w", err)
	}
	c := claims{notBefore: raw.NotBefore}
	ids, all, err := wordsClaim(raw.Workspaces)
	switch {
	case err != nil:
		return claims{}, fmt.Errorf("cannot read claim workspaces: %w", err)
	case all == everyWorkspace:
		c.workspaces = []string{everyWorkspace}
	case all != "":
		return claims{}, errors.New(`claim workspaces is neither "*" nor an array`)
	case len(ids) > maxClaimedWorkspaces:
		return claims{}, fmt.Errorf("claim workspaces names %d, at most %d are taken", len(ids), maxClaimedWorkspaces)
	}
	for _, id := range ids {
		// "*" in an array is no id.
		if idPattern.MatchString(id) && !slices.Contains(c.workspaces, id) {
			c.workspaces = append(c.workspaces, id)
		}
	}
	words, text, err := wordsClaim(raw.SCP)
	if err != nil {
		return claims{}, fmt.Errorf("cannot read claim scp: %w", err)
	}
	words = append(words, strings.Fields(text)...)
	if raw.Scope != nil {
		words = append(words, strings.Fields(*raw.Scope)...)
	}
	c.scopes = knownScopes(words)
	// Grants and what spans workspaces are never a member's: of a token that
	// names its workspaces one by one these scopes do not count.
	if !slices.Contains(c.workspaces, everyWorkspace) {
		c.scopes = slices.DeleteFunc(c.scopes, func(scope Scope) bool { return scope == ScopeAdmin || scope == ScopeOps })
	}
	return c, nil
}

// wordsClaim reads an array of strings, or one string; absent and null are
// none.
func wordsClaim(value jsontext.Value) (words []string, text string, err error) {
	if len(value) == 0 || string(value) == "null" {
		return nil, "", nil
	}
	if value[0] == '"' {
		err = json.Unmarshal(value, &text)
	} else {
		err = json.Unmarshal(value, &words)
	}
	return words, text, err
}
