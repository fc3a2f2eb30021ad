package storetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestApacheKafkaGivesEveryTestItsOwnTopics(t *testing.T) {
	a, b := ApacheKafka(t, KafkaOptions{Partitions: 3}), ApacheKafka(t, KafkaOptions{})
	if a.Addr != b.Addr {
		t.Errorf("two brokers, %s and %s, want one shared", a.Addr, b.Addr)
	}
	if a.Topics == b.Topics {
		t.Error("two tests share topics")
	}
	if a.Cluster != nil {
		t.Error("another process has no control hooks")
	}
}

// holdApache makes this test binary start a broker, tell where it is, and wait to be killed.
const holdApache = "DRAWDOWN_TEST_HOLD_APACHE"

func TestApacheKafkaDiesWithTheTestBinary(t *testing.T) {
	if os.Getenv(holdApache) != "" {
		a := NewApacheKafka(t, KafkaOptions{})
		fmt.Printf("held %s %s\n", a.Addr, a.dir)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if _, err := apacheScript(); err != nil {
		skip(t, err)
	}
	addr, dir := killHolder(t)
	Wait(t, time.Minute, "the broker is gone", func() (bool, error) { return portFree(addr), nil })
	Wait(t, time.Minute, "its data is gone", func() (bool, error) {
		_, err := os.Stat(dir)
		return os.IsNotExist(err), nil
	})
}

// killHolder starts this binary again, has it start a broker, and kills it.
func killHolder(t *testing.T) (addr, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestApacheKafkaDiesWithTheTestBinary$")
	cmd.Env = append(os.Environ(), holdApache+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), "held %s %s", &addr, &dir); n == 2 {
			break
		}
	}
	if conn, err := net.Dial("tcp", addr); err != nil {
		t.Errorf("the held broker does not listen: %v", err)
	} else {
		_ = conn.Close()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	return addr, dir
}
