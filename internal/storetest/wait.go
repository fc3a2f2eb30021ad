package storetest

import (
	"testing"
	"time"
)

// longestPause is the most that Wait lets pass between two questions.
const longestPause = 250 * time.Millisecond

// Wait polls cond until it is true, and fails the test when it returns an error
// or when the time is up, naming what was waited for. It takes up to a tenth longer
// than that took: what asks all the time slows down what it waits for, and the
// tests beside it.
func Wait(t testing.TB, timeout time.Duration, what string, cond func() (bool, error)) {
	t.Helper()
	began := time.Now()
	for {
		ok, err := cond()
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		if ok {
			return
		}
		waited := time.Since(began)
		if waited > timeout {
			t.Fatalf("waited %s in vain until %s", waited.Round(time.Millisecond), what)
		}
		time.Sleep(min(max(waited/10, time.Millisecond), longestPause))
	}
}
