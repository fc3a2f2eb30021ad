package main

import (
	"io"
	"log/slog"
	"time"
)

// env is what a command may touch besides its flags.
type env struct {
	Log    *slog.Logger
	Stdout io.Writer
	Stderr io.Writer
	Now    func() time.Time
	// Settings are the flags in force, for the log.
	Settings []any
}
