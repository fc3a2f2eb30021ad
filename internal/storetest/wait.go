package storetest

import (
	"testing"
	"time"
)

// Wait polls cond until it is true, and fails the test when it returns an error
// or when the time is up, naming what was waited for.
func Wait(t testing.TB, timeout time.Duration, what string, cond func() (bool, error)) {
	t.Helper()
	began := time.Now()
	pause := time.Millisecond
	for {
		ok, err := cond()
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		if ok {
			return
		}
		if waited := time.Since(began); waited > timeout {
			t.Fatalf("waited %s in vain until %s", waited.Round(time.Millisecond), what)
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}
