package signaling

import (
	"context"

	"github.com/sluice-live/sluice"
)

// recording ends the name of a lease that says who records a stream; no stream's
// name has it.
const recording = "/recording"

// AcquireRecording claims the recording of a stream for this node, by force from the
// node that has it. Errors as those of Acquire.
func (r *Registry) AcquireRecording(ctx context.Context, stream string, force bool) (*Lease, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return nil, err
	}
	from := ""
	if force {
		if owner, err := r.lookup(ctx, stream+recording); err == nil {
			from = owner.Node
		}
	}
	return r.acquire(ctx, stream+recording, from)
}

// LookupRecording returns who records a stream. Errors as those of Lookup.
func (r *Registry) LookupRecording(ctx context.Context, stream string) (Owner, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return Owner{}, err
	}
	return r.lookup(ctx, stream+recording)
}
