package signaling_test

import (
	"testing"
	"time"
)

// TestRoll restarts two nodes one after the other, and then the first one again.
func TestRoll(t *testing.T) {
	t.Parallel()
	url := startRedis(t).url()
	client := connect(t, url)
	a, b := registry(t, client, "a"), registry(t, client, "b")
	eventually(t, "both have run for a while", func() bool { return b.Uptime() > 300*time.Millisecond })
	age, err := a.Roll(t.Context(), time.Minute)
	if err != nil || age != 0 {
		t.Fatalf("the first node that leaves: %v, %v", age, err)
	}
	older := func(least time.Duration) {
		t.Helper()
		eventually(t, "time passes", func() bool {
			age, err = b.Roll(t.Context(), time.Minute)
			return err == nil && age > least
		})
	}
	older(20 * time.Millisecond)
	again := registry(t, client, "a2")
	older(40 * time.Millisecond)
	ran := again.Uptime()
	older(age)
	if ran > age {
		t.Errorf("a node that was restarted has run for %v in a roll of %v", ran, age)
	}
	if b.Uptime() < age {
		t.Errorf("a node that was not restarted has run for %v in a roll of %v", b.Uptime(), age)
	}
	if age, err = again.Roll(t.Context(), time.Minute); err != nil || age != 0 {
		t.Errorf("a node that was restarted leaves: %v, %v, want a new roll", age, err)
	}
	if age, err = again.Roll(t.Context(), 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	eventually(t, "the roll is over", func() bool {
		n, err := client.Exists(t.Context(), "sluice:roll").Result()
		return err == nil && n == 0
	})
}
