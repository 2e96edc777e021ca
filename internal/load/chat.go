package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"sync"
	"time"
)

// ChatConn is a bot's connection to a chat room.
type ChatConn interface {
	Send(frame []byte) error
	Close() error
}

// ChatConfig says how to load the chat of a stream.
type ChatConfig struct {
	Members  int
	Senders  int     // of the members
	Rate     float64 // messages a second of all senders
	Ramp     Rate
	Duration time.Duration
	PID      int // of the server, for its CPU time; 0: unknown
	// Dial connects the i-th bot, which takes frames with the function, one at a
	// time.
	Dial func(ctx context.Context, i int, take func(frame []byte)) (ChatConn, error)
}

// Validate says what cannot be run.
func (c ChatConfig) Validate() error {
	switch {
	case c.Members < 1 || c.Senders < 1 || c.Senders > c.Members:
		return errors.New("there must be a member, a sender, and no more senders than members")
	case !(c.Rate > 0 && c.Rate <= 1e6):
		return errors.New("the rate must be positive")
	case c.Duration <= 0:
		return errors.New("the duration must be positive")
	case c.Dial == nil:
		return errors.New("there is no way to the chat")
	}
	return nil
}

// ChatReport is what became of the messages.
type ChatReport struct {
	Members   int            `json:"members"`
	Failed    int            `json:"failed"` // bots that could not join, or were put out
	Errors    map[string]int `json:"errors,omitempty"`
	Seconds   float64        `json:"seconds"`
	Sent      int            `json:"sent"`
	Confirmed int            `json:"confirmed"` // that came back to their sender
	Refused   map[string]int `json:"refused,omitempty"`
	Delivered uint64         `json:"delivered"` // messages, over all members
	Lost      uint64         `json:"lost"`      // confirmed messages that a member has not got
	Twice     uint64         `json:"twice"`
	Orders    int            `json:"orders"` // different orders among the members; 1 is right
	Frames    uint64         `json:"frames"`
	P50       float64        `json:"delayP50Ms"` // from sending to receiving
	P99       float64        `json:"delayP99Ms"`
	Max       float64        `json:"delayMaxMs"`
	ServerCPU float64        `json:"serverCores,omitempty"` // processor time of the server in each second
	PerCore   float64        `json:"messagesPerCoreSecond,omitempty"`
	ClientCPU float64        `json:"clientCores"`
}

// chatRun is one run.
type chatRun struct {
	cfg  ChatConfig
	mark string // begins the text of our messages
	bots []*bot

	mu        sync.Mutex
	failed    int
	errors    map[string]int
	refused   map[string]int
	confirmed map[string]string // id of a message, by ref
	readers   chatReaders
}

// bot is a member.
type bot struct {
	run    *chatRun
	conn   ChatConn
	joined chan struct{}
	once   sync.Once

	mu     sync.Mutex
	frames uint64
	ids    []string
}

// RunChat loads a chat and reports. When ctx ends early, what came until then is
// reported.
func RunChat(ctx context.Context, cfg ChatConfig) (*ChatReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &chatRun{
		cfg: cfg, mark: "b" + strconv.FormatInt(time.Now().UnixNano()%1e9, 36),
		errors: map[string]int{}, refused: map[string]int{}, confirmed: map[string]string{},
	}
	defer r.close()
	r.join(ctx)
	if len(r.bots) == 0 {
		return r.report(), nil
	}
	own := newProcess(os.Getpid())
	ownBefore, err := own.cpu()
	if err != nil {
		return nil, err
	}
	var server process
	var before time.Duration
	if cfg.PID > 0 {
		server = newProcess(cfg.PID)
		if before, err = server.cpu(); err != nil {
			return nil, fmt.Errorf("the server's process: %w", err)
		}
	}
	began := time.Now()
	sent := r.talk(ctx)
	took := time.Since(began)
	after, ownAfter := before, ownBefore
	if cfg.PID > 0 {
		if after, err = server.cpu(); err != nil {
			return nil, fmt.Errorf("the server's process: %w", err)
		}
	}
	if ownAfter, err = own.cpu(); err != nil {
		return nil, err
	}
	r.settle(ctx, sent)
	report := r.report()
	report.Sent, report.Seconds = sent, took.Seconds()
	report.ServerCPU = (after - before).Seconds() / took.Seconds()
	report.ClientCPU = (ownAfter - ownBefore).Seconds() / took.Seconds()
	if cpu := (after - before).Seconds(); cpu > 0 {
		report.PerCore = float64(report.Delivered) / cpu
	}
	return report, nil
}

// join connects the bots at the ramp's rate.
func (r *chatRun) join(ctx context.Context) {
	var joining sync.WaitGroup
	begun := time.Now()
	for i := range r.cfg.Members {
		if r.cfg.Ramp > 0 {
			rest(ctx, time.Until(begun.Add(time.Duration(float64(i)/float64(r.cfg.Ramp)*float64(time.Second)))))
		}
		joining.Go(func() {
			b := &bot{run: r, joined: make(chan struct{})}
			limited, cancel := context.WithTimeout(ctx, leaving)
			defer cancel()
			conn, err := r.cfg.Dial(limited, i, b.take)
			if err == nil {
				b.conn = conn
				select {
				case <-b.joined:
				case <-limited.Done():
					err = errors.New("no welcome from the chat")
				}
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				r.failed++
				r.errors[err.Error()]++
			}
			if conn != nil {
				r.bots = append(r.bots, b)
			}
		})
	}
	joining.Wait()
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// talk has the senders take turns, and returns how many messages were sent.
func (r *chatRun) talk(ctx context.Context) int {
	began, sent := time.Now(), 0
	every := time.Duration(float64(time.Second) / r.cfg.Rate)
	for {
		next := time.Duration(sent) * every
		if next >= r.cfg.Duration {
			rest(ctx, time.Until(began.Add(r.cfg.Duration)))
			return sent
		}
		rest(ctx, time.Until(began.Add(next)))
		if ctx.Err() != nil {
			return sent
		}
		b := r.bots[sent%min(r.cfg.Senders, len(r.bots))]
		ref := r.mark + "-" + strconv.Itoa(sent)
		frame, err := json.Marshal(map[string]string{
			"type": "send", "ref": ref,
			"text": fmt.Sprintf("%s %d %d", r.mark, sent, time.Now().UnixMicro()),
		})
		if err == nil {
			err = b.conn.Send(frame)
		}
		if err != nil {
			r.mu.Lock()
			r.errors[err.Error()]++
			r.mu.Unlock()
		}
		sent++
	}
}

// settle waits until everything confirmed has come to everybody, for some
// seconds.
func (r *chatRun) settle(ctx context.Context, sent int) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && ctx.Err() == nil; rest(ctx, 100*time.Millisecond) {
		r.mu.Lock()
		confirmed, refused := len(r.confirmed), 0
		for _, n := range r.refused {
			refused += n
		}
		r.mu.Unlock()
		missing := confirmed+refused < sent
		for _, b := range r.bots {
			b.mu.Lock()
			missing = missing || len(b.ids) < confirmed
			b.mu.Unlock()
		}
		if !missing {
			return
		}
	}
}

func (r *chatRun) report() *ChatReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &ChatReport{Members: len(r.bots), Failed: r.failed, Errors: r.errors, Confirmed: len(r.confirmed), Refused: r.refused}
	orders := map[uint64]bool{}
	counts := map[string]bool{} // ids of messages that are confirmed
	for _, id := range r.confirmed {
		counts[id] = true
	}
	for _, b := range r.bots {
		b.mu.Lock()
		h := fnv.New64a()
		seen, got := map[string]bool{}, 0
		for _, id := range b.ids {
			if seen[id] {
				rep.Twice++
				continue
			}
			seen[id] = true
			if counts[id] {
				got++
				_, _ = h.Write([]byte(id)) // a hash takes everything
			}
		}
		rep.Delivered += uint64(len(b.ids))
		rep.Lost += uint64(len(counts) - got)
		rep.Frames += b.frames
		orders[h.Sum64()] = true
		b.mu.Unlock()
	}
	rep.Orders = len(orders)
	delays := r.readers.delays()
	milli := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	rep.P50, rep.P99, rep.Max = milli(delays.quantile(.5)), milli(delays.quantile(.99)), milli(delays.largest)
	return rep
}

func (r *chatRun) close() {
	slots := make(chan struct{}, leaversAtOnce)
	var leavers sync.WaitGroup
	for _, b := range r.bots {
		slots <- struct{}{}
		leavers.Go(func() {
			_ = b.conn.Close() // the server may have ended it
			<-slots
		})
	}
	leavers.Wait()
}
