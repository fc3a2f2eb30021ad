package storetest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// engineEnv makes this test binary start an engine and wait to be killed.
const engineEnv = "STORETEST_HOLD_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(engineEnv) != "" {
		engine, err := newEngine(EngineOptions{AutoRestart: true})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(engine.PID(), engine.Dir())
		select {}
	}
	Main(m)
}

func TestKilledTestBinaryLeavesNeitherEngineNorData(t *testing.T) {
	Library(t) // skips where there is none
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), engineEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
	if kill := cmd.Process.Kill(); err != nil || kill != nil || !ok {
		t.Fatalf("the test binary said %q: %v, %v", line, err, kill)
	}
	_ = cmd.Wait() // killed, as it should be
	Wait(t, 30*time.Second, "engine and data are gone", func() (bool, error) {
		_, data := os.Stat(dir)
		stat, process := os.ReadFile("/proc/" + pid + "/stat")
		return os.IsNotExist(data) && (process != nil || strings.Contains(string(stat), ") Z ")), nil
	})
}

func TestAddressesAreOfOneTestOnly(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr := FreeAddr(t)
		if seen[addr] {
			t.Fatalf("%s was given out twice", addr)
		}
		seen[addr] = true
	}
}
