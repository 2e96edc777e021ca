package signaling

import (
	"context"
	"strconv"
	"time"
)

// orderTTL is how long an order waits for its node.
const orderTTL = 30 * time.Second

func orderKey(id string) string { return "sluice:order:{" + id + "}" }

// Order is what an operator asks of a node.
type Order struct {
	Drain bool          // false: take new sessions again
	Over  time.Duration // time to drain in; 0: as it is configured
}

// Give leaves an order for the node of that id, which takes it with its next
// heartbeat. A later order replaces one that was not taken yet. Errors:
// CodeUnavailable.
func (r *Registry) Give(ctx context.Context, id string, o Order) error {
	text := "serve"
	if o.Drain {
		text = strconv.FormatInt(o.Over.Milliseconds(), 10)
	}
	return r.call(ctx, "leave an order", func(ctx context.Context) error {
		return r.client.Set(ctx, orderKey(id), text, orderTTL).Err()
	})
}

// obey reads an order, which anyone who reaches Redis may have written.
func (r *Registry) obey(text string) {
	o, ok := parseOrder(text)
	if !ok {
		r.log.Warn("an order cannot be read")
		return
	}
	r.cfg.Order(o)
}

func parseOrder(text string) (Order, bool) {
	if text == "serve" {
		return Order{}, true
	}
	ms, err := strconv.ParseUint(text, 10, 32)
	return Order{Drain: true, Over: time.Duration(ms) * time.Millisecond}, err == nil
}
