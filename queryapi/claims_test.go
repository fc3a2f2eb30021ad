package queryapi

import (
	"slices"
	"testing"
)

func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"workspaces":["ws_a"],"scope":"credits:read operator"}`, `{"workspaces":"*","scp":["credits:admin"]}`, `{"workspaces":["*"],"scope":"operator"}`,
		`{"workspaces":null,"scp":"credits:read"}`, `{"Workspaces":"*"}`, `{"workspaces":"ws_a"}`, `{"nbf":"x"}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseClaims(payload)
		if err != nil {
			if c.workspaces != nil || c.scopes != nil {
				t.Errorf("%s: %v, and still %+v", payload, err, c)
			}
			return
		}
		all := slices.Equal(c.workspaces, []string{everyWorkspace})
		for _, id := range c.workspaces {
			if !all && !idPattern.MatchString(id) {
				t.Errorf("%s names %q", payload, id)
			}
		}
		for _, scope := range c.scopes {
			if !slices.Contains(everyScope, scope) || !all && (scope == ScopeAdmin || scope == ScopeOps) {
				t.Errorf("%s gives %s", payload, scope)
			}
		}
	})
}
