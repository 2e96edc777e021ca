package load

import "context"

// search adds viewers in steps until the limits are passed or all have joined.
func (r *run) search(ctx context.Context) (*Report, error) {
	found := &SearchReport{}
	first, err := r.sample()
	if err != nil {
		return nil, err
	}
	last := first
	for n := r.cfg.Search.Step; n <= r.cfg.Viewers && ctx.Err() == nil; n += r.cfg.Search.Step {
		if err := r.join(ctx, r.cfg.Search.Step); err != nil {
			return nil, err
		}
		wait(ctx, settle)
		from, err := r.sample()
		if err != nil {
			return nil, err
		}
		wait(ctx, r.cfg.Search.Hold)
		if last, err = r.sample(); err != nil {
			return nil, err
		}
		step := r.step(from, last)
		step.Viewers = n
		found.Steps = append(found.Steps, step)
		if !r.cfg.Search.within(step) {
			break
		}
		found.Viewers = n
	}
	report, err := r.report(first, last)
	if err != nil {
		return nil, err
	}
	report.Search = found
	return report, nil
}

// step measures one step. What was published and did not arrive is lost, even
// where the server hides it by numbering anew.
func (r *run) step(from, to *sample) StepReport {
	t := traffic(from, to, len(r.publishers))
	step := StepReport{
		FrameLatency: to.frames.spread(), Lost: t.Lost,
		ClientCPU: percent((to.clientCPU - from.clientCPU).Seconds(), to.at.Sub(from.at).Seconds()),
	}
	if t.Delivered > 0 {
		step.Lost = max(step.Lost, 100-t.Delivered)
	}
	if r.server != nil {
		s := serverReport(from, to)
		step.ServerCPU, step.PerGigabit = s.CPUPercent, s.PerGigabit
	}
	r.mu.Lock()
	step.Failed = r.failed
	r.mu.Unlock()
	return step
}

func (s Search) within(step StepReport) bool {
	return step.Failed == 0 && step.Lost <= s.MaxLoss &&
		(s.MaxLatency == 0 || step.FrameLatency.P99 <= milliseconds(s.MaxLatency))
}
