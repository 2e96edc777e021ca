package signaling_test

import (
	"testing"

	"github.com/sluice-live/sluice"
)

// One node records a stream, whoever publishes it, until another one takes that by
// force or it is given back.
func TestRecordingIsLeased(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		acquire(t, b, "demo")
		first, err := a.AcquireRecording(t.Context(), "demo", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AcquireRecording(t.Context(), "demo", false); sluice.CodeOf(err) != sluice.CodeStreamBusy {
			t.Errorf("two nodes record: %v", err)
		}
		if owner, err := b.LookupRecording(t.Context(), "demo"); err != nil || owner.Node != "a" {
			t.Errorf("%+v, %v", owner, err)
		}
		if a.Leases() != 0 || b.Leases() != 1 {
			t.Errorf("streams held: %d and %d", a.Leases(), b.Leases())
		}
		second, err := b.AcquireRecording(t.Context(), "demo", true)
		if err != nil || second.Generation() <= first.Generation() {
			t.Fatalf("by force: %v", err)
		}
		eventually(t, "the first is lost", func() bool { return isLost(first) })
		if err := second.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.LookupRecording(t.Context(), "demo"); sluice.CodeOf(err) != sluice.CodeNotFound {
			t.Errorf("given back: %v", err)
		}
		if _, err := a.AcquireRecording(t.Context(), "a/recording", false); sluice.CodeOf(err) != sluice.CodeInvalid {
			t.Errorf("a name that is none: %v", err)
		}
	})
}
