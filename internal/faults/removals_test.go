package faults

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRemovalsFitTheCode: a patch that does not apply any more removes nothing,
// and make faults-removals would prove nothing.
func TestRemovalsFitTheCode(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("removals/*.patch")
	if err != nil || len(patches) != 4 {
		t.Fatalf("%d patches are there, want 4: %v", len(patches), err)
	}
	for _, patch := range patches {
		path, err := filepath.Abs(patch)
		if err != nil {
			t.Fatal(err)
		}
		check := exec.CommandContext(t.Context(), "git", "apply", "--check", path)
		check.Dir = "../.."
		if said, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", patch, err, said)
		}
	}
}
