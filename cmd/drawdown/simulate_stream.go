package main

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// simOptions say what a simulator makes. The same options make the same
// history, event by event; a live stream also depends on the clock.
type simOptions struct {
	Seed       uint64
	Run        uint64 // tells apart the live streams of one seed
	Prefix     string // of workspace ids
	Source     string
	ImportID   string // for the header of the history
	Workspaces int
	Campaigns  int // per workspace

	Refunds      float64 // shares of the distinct events
	Unattributed float64
	Bursts       float64 // share of the hours of the history
	Late         float64
	Duplicates   float64 // share of all records

	From, Until time.Time // the history, whole hours where Events is given; equal: none
	Events      int64     // of the history; 0: what the volumes of the workspaces give
	Start       time.Time // of the live stream without a history

	World  []simWorkspace // instead of generated ones
	Anchor time.Time      // where the volumes of World hold; growth is counted from here
}

// setupAt is the instant from which workspaces, campaigns and grants hold: a
// round one, so that the next run says the same again instead of something new.
func (o simOptions) setupAt() time.Time {
	if o.From.Before(o.Until) {
		return o.From
	}
	return time.Date(o.Start.Year(), o.Start.Month(), 1, 0, 0, 0, 0, time.UTC)
}

const (
	defaultBackfillEvents = 300_000
	// A duplicate repeats one of the last simRecent events or one of simOld
	// drawn from all before, so that both near and far repeats occur.
	simRecent = 1024
	simOld    = 4096
	simActors = 6
)

// simEvent is an event before it is encoded.
type simEvent struct {
	id        uuid.UUID
	at        schemas.Millis
	credits   schemas.Credits
	workspace int32
	campaign  int32 // -1: unattributed
	action    int16
	actor     int16
}

// simRecord is a record to send. Key and Value are valid until the next one.
type simRecord struct {
	Topic   schemas.Topic
	Key     []byte
	Value   []byte
	Headers []schemas.Header
}

// simulator makes events and keeps their totals.
//
// Its history is made hour by hour: the events of a workspace and an hour are a
// prefix of a stream that only the seed, the workspace and the hour decide. So
// a history that is made again, or made over another window, has the same
// events with the same ids and times, and sending it again adds nothing.
type simulator struct {
	options simOptions
	world   []simWorkspace
	zones   []*time.Location
	actions []simAction
	profile [168]float64
	scale   float64 // events per unit of volume; 0: volumes are events
	carried float64 // volume so far, for scale
	made    int64   // events so far, for scale

	rng     *rand.Rand // for what says nothing about an event
	live    *rand.Rand
	hour    time.Time // next hour of the history
	pending []simEvent
	held    lateEvents

	recent []simEvent
	old    []simEvent

	cells            map[simKey]*simSum
	sent, distinct   int64
	duplicates, late int64

	cumulative, byWorkspace []float64 // weights

	// What records are made of; key and value are valid until the next record.
	headers      []schemas.Header
	workspaceIDs [][]byte
	campaignIDs  [][][]byte
	actionNames  [][]byte
	actors       [][]byte
	source       []byte
	id, value    []byte
	event        schemas.Event
}

func newSimulator(o simOptions) (*simulator, error) {
	s := &simulator{
		options: o, world: o.World, actions: simActions(), profile: weekProfile(),
		rng: newRand(o.Seed, 0, 1), live: newRand(o.Seed, o.Run, 2),
		hour: o.From.Truncate(time.Hour), cells: map[simKey]*simSum{}, source: []byte(o.Source),
	}
	if s.world == nil {
		s.world = generateWorld(o)
	}
	if o.ImportID != "" {
		s.headers = []schemas.Header{{Key: schemas.ImportHeader, Value: []byte(o.ImportID)}}
	}
	for i := range s.world {
		zone, err := schemas.LoadZone(s.world[i].Zone)
		if err != nil {
			return nil, fmt.Errorf("cannot simulate workspace %s: %w", s.world[i].ID, err)
		}
		s.zones = append(s.zones, zone)
		s.workspaceIDs = append(s.workspaceIDs, []byte(s.world[i].ID))
		var campaigns [][]byte
		for _, c := range s.world[i].Campaigns {
			campaigns = append(campaigns, []byte(c.ID))
		}
		s.campaignIDs = append(s.campaignIDs, campaigns)
	}
	for i := range simActors {
		s.actors = append(s.actors, fmt.Appendf(nil, "agent:%d", i+1))
	}
	for _, action := range s.actions {
		s.actionNames = append(s.actionNames, []byte(action.Name))
	}
	if o.Events > 0 {
		volume := 0.0
		for hour := s.hour; hour.Before(o.Until); hour = hour.Add(time.Hour) {
			for i := range s.world {
				volume += s.volume(i, hour)
			}
		}
		s.scale = float64(o.Events) / volume
	}
	return s, nil
}

// newRand returns the generator of one stream of a seed.
func newRand(seed, a, b uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed^a*0x9e3779b97f4a7c15, b^a))
}

func hashText(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// volume is how many events are expected of a workspace in an hour.
func (s *simulator) volume(workspace int, hour time.Time) float64 {
	w := &s.world[workspace]
	day := uint64(hour.Unix() / 86400)
	noise := 0.85 + 0.3*newRand(s.options.Seed, hashText(w.ID), day).Float64()
	volume := w.PerDay / 24 * s.profileAt(workspace, hour) * noise
	if w.Growth != 0 {
		volume *= math.Pow(1+w.Growth, hour.Sub(s.options.Anchor).Hours()/24)
	}
	if s.bursts(w, hour) {
		volume *= burstFactor
	}
	return volume
}

// burstFactor is how many times as much is used in the hour of a burst.
const burstFactor = 10

// bursts says whether a workspace has a burst in an hour of its history.
func (s *simulator) bursts(w *simWorkspace, hour time.Time) bool {
	const burst = 1 << 40 // apart from the numbers of days and hours
	return s.options.Bursts > 0 && newRand(s.options.Seed, hashText(w.ID), burst+uint64(hour.Unix()/3600)).Float64() < s.options.Bursts
}

func (s *simulator) profileAt(workspace int, at time.Time) float64 {
	local := at.In(s.zones[workspace])
	return s.profile[24*int(local.Weekday())+local.Hour()]
}

// Next returns the next record of the history, or false at its end.
func (s *simulator) Next() (simRecord, bool) {
	if record, ok := s.repeat(); ok {
		return record, true
	}
	ev, ok := s.nextInHistory()
	if !ok {
		return simRecord{}, false
	}
	return s.emit(ev), true
}

// Live returns a record of the live stream, used at now.
func (s *simulator) Live(now time.Time) simRecord {
	s.headers = nil
	if record, ok := s.repeat(); ok {
		return record
	}
	at := schemas.MillisOf(now)
	if s.rng.Float64() < s.options.Late {
		s.late++
		at -= schemas.Millis(s.delay().Milliseconds())
	}
	// Which workspace: by volume at this hour of its week.
	s.byWorkspace = s.byWorkspace[:0]
	sum := 0.0
	for i := range s.world {
		sum += s.world[i].LivePerSecond * s.profileAt(i, now)
		s.byWorkspace = append(s.byWorkspace, sum)
	}
	workspace := pick(s.byWorkspace, s.live.Float64())
	s.weigh(workspace, now)
	return s.emit(s.draw(s.live, workspace, at, 1, 0))
}

// repeat returns an earlier record again, at times.
func (s *simulator) repeat() (simRecord, bool) {
	if len(s.recent) == 0 || s.rng.Float64() >= s.options.Duplicates {
		return simRecord{}, false
	}
	s.duplicates++
	from := s.recent
	if len(s.old) > 0 && s.rng.IntN(2) == 0 {
		from = s.old
	}
	return s.encode(from[s.rng.IntN(len(from))]), true
}

// emit counts a new event and returns its record.
func (s *simulator) emit(ev simEvent) simRecord {
	key := simKey{workspace: ev.workspace, campaign: ev.campaign, action: ev.action, day: int32(floorDay(ev.at))}
	sum := s.cells[key]
	if sum == nil {
		sum = &simSum{}
		s.cells[key] = sum
	}
	sum.add(ev.credits)
	if s.options.Duplicates > 0 {
		s.remember(ev)
	}
	s.distinct++
	return s.encode(ev)
}

func floorDay(at schemas.Millis) int64 {
	const day = 86_400_000
	return (int64(at) - ((int64(at)%day)+day)%day) / day
}

// remember keeps ev for a duplicate: the last ones in a ring, and a fair
// sample of all (Vitter's algorithm R).
func (s *simulator) remember(ev simEvent) {
	if len(s.recent) < simRecent {
		s.recent = append(s.recent, ev)
	} else {
		s.recent[s.distinct%simRecent] = ev
	}
	if len(s.old) < simOld {
		s.old = append(s.old, ev)
	} else if at := s.rng.Int64N(s.distinct + 1); at < simOld {
		s.old[at] = ev
	}
}

func (s *simulator) encode(ev simEvent) simRecord {
	s.sent++
	s.id = appendUUID(s.id[:0], ev.id)
	e := &s.event
	*e = schemas.Event{
		Type:        schemas.CreditsConsumed,
		ID:          s.id,
		Source:      s.source,
		Time:        ev.at,
		WorkspaceID: s.workspaceIDs[ev.workspace],
		Action:      s.actionNames[ev.action],
		Actor:       s.actors[ev.actor],
		Credits:     ev.credits,
	}
	if ev.campaign >= 0 {
		e.CampaignID = s.campaignIDs[ev.workspace][ev.campaign]
	}
	s.value = schemas.AppendEvent(s.value[:0], e)
	return simRecord{Topic: schemas.ConsumptionTopic, Key: e.WorkspaceID, Value: s.value, Headers: s.headers}
}

func appendUUID(b []byte, id uuid.UUID) []byte {
	for i, end := range [5]int{4, 6, 8, 10, 16} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[[5]int{0, 4, 6, 8, 10}[i]:end])
	}
	return b
}

func (s *simulator) campaignID(workspace, campaign int32) string {
	if campaign < 0 {
		return ""
	}
	return s.world[workspace].Campaigns[campaign].ID
}

// nextInHistory returns the next new event: one that was held back and is due,
// else the next of the hour, which may be held back instead.
func (s *simulator) nextInHistory() (simEvent, bool) {
	for {
		if len(s.pending) == 0 && s.hour.Before(s.options.Until) {
			s.fill()
			continue
		}
		if len(s.held) > 0 && (len(s.pending) == 0 || s.held[0].due <= s.pending[0].at) {
			return heap.Pop(&s.held).(heldEvent).event, true
		}
		if len(s.pending) == 0 {
			return simEvent{}, false
		}
		ev := s.pending[0]
		s.pending = s.pending[1:]
		if s.rng.Float64() < s.options.Late {
			s.late++
			heap.Push(&s.held, heldEvent{event: ev, due: ev.at + schemas.Millis(s.delay().Milliseconds())})
			continue
		}
		return ev, true
	}
}

// fill makes the events of the next hour, in order of time.
func (s *simulator) fill() {
	s.pending = s.pending[:0:0]
	for workspace := range s.world {
		bucket := newRand(s.options.Seed, hashText(s.world[workspace].ID)+1, uint64(s.hour.Unix()))
		count := s.count(workspace, bucket)
		if count == 0 {
			continue
		}
		s.weigh(workspace, s.hour)
		from := schemas.MillisOf(s.hour)
		for range count {
			ev := s.draw(bucket, workspace, from, time.Hour.Milliseconds(), s.world[workspace].Units)
			if ev.at >= schemas.MillisOf(s.options.From) && ev.at < schemas.Millis(s.options.Until.UnixMilli()) {
				s.pending = append(s.pending, ev)
			}
		}
	}
	slices.SortFunc(s.pending, func(a, b simEvent) int { return cmp.Or(int(a.at-b.at), bytes.Compare(a.id[:], b.id[:])) })
	s.hour = s.hour.Add(time.Hour)
}

// count turns the volume of a workspace and an hour into a number of events:
// with a number asked for, so that the whole history has exactly that many,
// else so that the hour alone decides.
func (s *simulator) count(workspace int, bucket *rand.Rand) int64 {
	round := bucket.Float64() // drawn in either case: the events stay the same
	volume := s.volume(workspace, s.hour)
	if s.options.Events == 0 {
		return int64(volume + round)
	}
	s.carried += volume * s.scale
	due := int64(math.Round(s.carried))
	count := due - s.made
	s.made = due
	return count
}
