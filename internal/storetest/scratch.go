package storetest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// removeScript waits for the end of the test process, which closes standard
// input, and removes the folder. A store that is still being killed may write
// into it meanwhile, hence the tries.
const removeScript = `trap '' INT TERM HUP
cat >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" 2>/dev/null
  [ -e "$1" ] || exit 0
  sleep 1
done`

// Dir returns a folder that goes with the test, and with this process if that
// is killed.
func Dir(t testing.TB) string {
	t.Helper()
	dir, remove, err := scratchDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Errorf("cannot remove the test's folder: %v", err)
		}
	})
	return dir
}

// scratchDir makes a folder for data that goes with this process, even if it is
// killed. remove does it earlier.
func scratchDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "drawdown-store-")
	if err != nil {
		return "", nil, fmt.Errorf("cannot create a data directory: %w", err)
	}
	leash, err := watchDir(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, sync.OnceValue(func() error {
		return errors.Join(os.RemoveAll(dir), leash.Close())
	}), nil
}

// watchDir starts the process that removes dir when the returned pipe closes.
func watchDir(dir string) (io.Closer, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot open a pipe: %w", err)
	}
	defer func() { _ = read.Close() }() // the child has its own
	cmd := exec.Command("/bin/sh", "-c", removeScript, "sh", dir)
	cmd.Stdin = read
	// Not in our group: what kills that must not kill the cleaner.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot watch the data directory: %w", err), write.Close())
	}
	return &leash{write: write, cmd: cmd}, nil
}

type leash struct {
	write *os.File
	cmd   *exec.Cmd
}

func (l *leash) Close() error { return errors.Join(l.write.Close(), l.cmd.Wait()) }

// Ports are taken below the kernel's own range (32768 up on Linux), where no
// outgoing connection can sit on one while its server restarts.
const (
	portFrom = 10_000
	portTo   = 30_000
)

// reserved keeps the locks of this process's ports until it ends.
var reserved struct {
	sync.Mutex
	locks []*os.File
}

// FreeAddr returns an address of this machine, host:port, that no other test
// uses while this test binary runs.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// freeAddr returns an address of this machine that no other test uses.
func freeAddr() (string, error) {
	dir := filepath.Join(os.TempDir(), "drawdown-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("cannot create the folder of port locks: %w", err)
	}
	for range 200 {
		port := strconv.Itoa(portFrom + rand.IntN(portTo-portFrom))
		f, err := os.OpenFile(filepath.Join(dir, port), os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return "", fmt.Errorf("cannot lock a port: %w", err)
		}
		addr := net.JoinHostPort("127.0.0.1", port)
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil || !portFree(addr) {
			_ = f.Close()
			continue
		}
		reserved.Lock()
		reserved.locks = append(reserved.locks, f)
		reserved.Unlock()
		return addr, nil
	}
	return "", errors.New("cannot find a free port")
}

func portFree(addr string) bool {
	// A child that another goroutine is just starting would hold the listener
	// until it is another program, and the port would be taken when it is used.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", addr)
	return err == nil && l.Close() == nil
}
