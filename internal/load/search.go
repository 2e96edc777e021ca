package load

import "context"

// search adds viewers in steps until the limits are passed or all have joined.
// A step that passes a limit is measured once more, because the machine has
// other work too.
func (r *run) search(ctx context.Context) (*Report, error) {
	found := &SearchReport{}
	first := r.sample()
	last := first
	for n := r.cfg.Search.Step; n <= r.cfg.Viewers && ctx.Err() == nil; n += r.cfg.Search.Step {
		if err := r.join(ctx, r.cfg.Search.Step); err != nil {
			return nil, err
		}
		var step StepReport
		for range 2 {
			if step, last = r.step(ctx); r.cfg.Search.within(step) {
				break
			}
		}
		step.Viewers = n
		found.Steps = append(found.Steps, step)
		if !r.cfg.Search.within(step) {
			break
		}
		found.Viewers = n
	}
	report := r.report(first, last)
	report.Search = found
	return report, nil
}

// step measures the viewers that there are.
func (r *run) step(ctx context.Context) (StepReport, *sample) {
	wait(ctx, settle)
	from := r.sample()
	wait(ctx, r.cfg.Search.Hold)
	to := r.sample()
	t := traffic(from, to, len(r.publishers))
	step := StepReport{
		FrameLatency: to.frames.spread(), ForwardDelay: to.forward.spread(), Lost: max(t.Lost, t.MissingFrames),
		ClientCPU: percent((to.clientCPU - from.clientCPU).Seconds(), to.at.Sub(from.at).Seconds()),
	}
	if r.server != nil && !to.serverEnd {
		s := serverReport(from, to)
		step.ServerCPU, step.PerGigabit = s.CPUPercent, s.PerGigabit
	}
	r.mu.Lock()
	step.Failed = r.failed
	r.mu.Unlock()
	now, _ := r.joins(to.at)
	step.Stalled = now.Stalled
	return step, to
}

func (s Search) within(step StepReport) bool {
	return step.Failed == 0 && step.Stalled == 0 && step.Lost <= s.MaxLoss &&
		(s.MaxLatency == 0 || step.FrameLatency.P99 <= milliseconds(s.MaxLatency))
}
