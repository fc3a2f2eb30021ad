package main_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// kills is how often a test of kills kills; -short does a quarter.
var kills = flag.Int("kills", 20, "kill -9 so often in the tests that do")

func killsToDo() int {
	if testing.Short() {
		return (*kills + 3) / 4
	}
	return *kills
}

func TestEveryFigureOfTheRetailSetIsThatOfItsFile(t *testing.T) {
	data, mapping := retailFiles(t)
	t.Parallel()
	s := startStack(t)
	client, tables := s.client(), s.tables()
	command := append([]string{"import", "--mapping", mapping, "--shift-to-now", data}, s.importFlags()...)

	began := time.Now()
	printed := mustRun(t, command...)
	sent := time.Since(began)
	l := awaitDone(t, client, tables, consumption)
	t.Logf("imported in %s, counted %s after that (%.0f events/s from start to figure):\n%s", sent.Round(10*time.Millisecond),
		(time.Since(began) - sent).Round(10*time.Millisecond), retailRows/time.Since(began).Seconds(), printed)
	if want := (ledger{records: retailRows, inserted: retailRows}); l != want {
		t.Fatalf("after the import the ledger says %+v instead of %+v", l, want)
	}
	oracle := readRetail(t, data, shiftOf(t, printed))
	if oracle.last.After(time.Now()) || began.Sub(oracle.last) >= 24*time.Hour {
		t.Errorf("the last event is at %s, which is not the nearest past by whole days", oracle.last)
	}
	oracle.compare(t, s.api)

	began = time.Now()
	again := mustRun(t, command...)
	l = awaitDone(t, client, tables, consumption)
	t.Logf("imported again in %s: %+v", time.Since(began).Round(10*time.Millisecond), l)
	if want := (ledger{records: 2 * retailRows, inserted: retailRows, duplicates: retailRows}); l != want {
		t.Errorf("after the second import the ledger says %+v instead of %+v", l, want)
	}
	if shiftOf(t, again) != shiftOf(t, printed) {
		t.Errorf("the second import moved times by %d days, the first by %d", shiftOf(t, again), shiftOf(t, printed))
	}
	oracle.compare(t, s.api)

	// Last, because it grants credits, which the balances above are without.
	oracle.compareHistory(t, s)
}

// importer is `drawdown import` of the retail set, started again when it ends
// or is killed.
type importer struct {
	t       testing.TB
	data    string // directory of its state
	command []string
	program *program
	shift   int // of the last run that ended well
	runs    int
	whole   int // runs that ended well
}

func newImporter(t testing.TB, dataDir, broker string, flags ...string) *importer {
	file, mapping := retailFiles(t)
	return &importer{t: t, data: dataDir, command: append([]string{
		"import", "--mapping", mapping, "--shift-to-now", "--data", dataDir, "--kafka-brokers", broker, file}, flags...)}
}

// keepRunning starts it if it does not run.
func (i *importer) keepRunning() {
	i.t.Helper()
	if i.program != nil && i.program.Running() {
		return
	}
	if i.program != nil && i.program.Wait() == 0 {
		i.whole++
		i.shift = shiftOf(i.t, i.program.Stdout.String())
	}
	i.runs++
	i.program = start(i.t, i.command...)
}

// finish lets it come to its end.
func (i *importer) finish() {
	i.t.Helper()
	for tries := 0; ; tries++ {
		if i.program != nil && i.program.Wait() == 0 {
			i.whole++
			i.shift = shiftOf(i.t, i.program.Stdout.String())
			return
		}
		if tries == 3 {
			i.t.Fatalf("the import does not come to its end:\n%s", i.program.Stderr.Tail(2000))
		}
		i.runs++
		i.program = start(i.t, i.command...)
	}
}

// acked is how many rows its state file says are in Kafka.
func (i *importer) acked() int64 {
	i.t.Helper()
	paths, err := filepath.Glob(filepath.Join(i.data, "imports", "*.json"))
	if err != nil || len(paths) != 1 {
		return 0 // it is still checking the file
	}
	var state struct {
		Acked int64 `json:"acked_rows"`
	}
	readJSON(i.t, paths[0], &state)
	return state.Acked
}

// pause lets a random time up to a limit pass: what it ends is a moment that
// nothing announces.
func pause(limit time.Duration) time.Duration {
	chosen := rand.N(limit)
	time.Sleep(chosen)
	return chosen
}

func TestKillsOfEverythingMoveNoFigure(t *testing.T) {
	data, _ := retailFiles(t)
	t.Parallel()
	s := startStack(t)
	load := newImporter(t, filepath.Join(filepath.Dir(s.data), "importer"), s.broker)
	var moments []string
	began, n := time.Now(), killsToDo()
	for i := range n {
		load.keepRunning()
		moment := "running"
		if i%2 == 0 { // some time after it is ready, when the import goes on
			s.awaitReady()
			moment += fmt.Sprintf(" (ready after %s) for %s", s.readyIn.Round(time.Millisecond), pause(3*time.Second).Round(time.Millisecond))
		} else { // while it starts and takes over what the last one left
			moment = fmt.Sprintf("starting for %s", pause(3*time.Second).Round(time.Millisecond))
		}
		victims := "up"
		s.up.Kill()
		if i%3 == 2 {
			load.program.Kill()
			victims = "up and import"
		}
		moments = append(moments, fmt.Sprintf("%s, %s, %d rows acknowledged", victims, moment, load.acked()))
		s.launch()
	}
	killing := time.Since(began)
	s.awaitReady()
	recovered := s.readyIn
	load.finish()
	l := awaitDone(t, s.client(), s.tables(), consumption)
	t.Logf("killed %d times in %s, ready %s after the last start, everything counted %s after the first kill; %d runs of import, %d of them whole; ledger %+v; kills:\n%s",
		n, killing.Round(time.Second), recovered.Round(time.Millisecond), time.Since(began).Round(time.Second),
		load.runs, load.whole, l, strings.Join(moments, "\n"))
	if l.inserted != retailRows || l.rejected != 0 || l.rerouted != 0 || l.records != l.inserted+l.duplicates {
		t.Errorf("the ledger says %+v", l)
	}
	readRetail(t, data, load.shift).compare(t, s.api)
}

func TestTheRetailSetThroughApacheKafkaHasTheSameFigures(t *testing.T) {
	data, _ := retailFiles(t)
	t.Parallel()
	const partitions = 4
	p := newPipeline(t, storetest.ApacheKafka(t, storetest.KafkaOptions{Partitions: partitions}), partitions)
	consumer := p.newMember()
	consumer.start()
	began := time.Now()
	load := newImporter(t, p.dir, p.broker.Addr, p.sender[2:]...)
	load.finish()
	sent := time.Since(began)
	l := awaitDone(t, p.broker.Client(t), p.tables, p.broker.Topics.Consumption)
	t.Logf("imported in %s, counted %s after that: %+v", sent.Round(10*time.Millisecond), (time.Since(began) - sent).Round(10*time.Millisecond), l)
	if want := (ledger{records: retailRows, inserted: retailRows}); l != want {
		t.Errorf("the ledger says %+v instead of %+v", l, want)
	}
	consumer.awaitReady()
	if code := consumer.program.Stop(); code != 0 {
		t.Errorf("after SIGTERM consume exited with %d", code)
	}
	readRetail(t, data, load.shift).compare(t, p.serve())
}

func TestKillsOfTheConsumerOfApacheKafkaMoveNoFigure(t *testing.T) {
	data, _ := retailFiles(t)
	t.Parallel()
	const partitions = 4
	p := newPipeline(t, storetest.ApacheKafka(t, storetest.KafkaOptions{Partitions: partitions}), partitions)
	consumer := p.newMember()
	consumer.start()
	load := newImporter(t, p.dir, p.broker.Addr, p.sender[2:]...)
	var moments []string
	began, n := time.Now(), 5
	for range n {
		load.keepRunning()
		consumer.awaitReady()
		running := pause(4 * time.Second)
		consumer.program.Kill()
		moments = append(moments, fmt.Sprintf("after %s of work, %s", running.Round(time.Millisecond), p.progress()))
		killed := time.Now()
		consumer.start()
		consumer.awaitReady()
		moments = append(moments, fmt.Sprintf("  ready again after %s", time.Since(killed).Round(time.Millisecond)))
	}
	load.finish()
	l := awaitDone(t, p.broker.Client(t), p.tables, p.broker.Topics.Consumption)
	t.Logf("killed %d times, everything counted %s after the start; %d runs of import; ledger %+v; kills:\n%s",
		n, time.Since(began).Round(time.Second), load.whole, l, strings.Join(moments, "\n"))
	if l.inserted != retailRows || l.rejected != 0 || l.rerouted != 0 || l.records != l.inserted+l.duplicates {
		t.Errorf("the ledger says %+v", l)
	}
	readRetail(t, data, load.shift).compare(t, p.serve())
}
