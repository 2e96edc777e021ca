// Package estimate says how many bits per second the path to one viewer
// carries.
//
// It is Google congestion control on the sending side, as
// draft-ietf-rmcat-gcc-02 describes it, fed by transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01), with the changes that a
// sender of ready-made layers needs:
//
//   - The sender is limited by what it forwards, not by the estimate. So the
//     estimate never falls because little is sent, and never rises above 1.5
//     times what arrived unless a probe has shown that more fits.
//   - A trend of rising delay counts as overuse only while a queue stands on the
//     path: the smallest of the newest delays lies above the path's base delay.
//     Jitter alone moves the trend but not the minimum.
//   - A delay that grows steadily from packet to packet is not waited with until the
//     trend has smoothed it: what arrives meanwhile is all that the path carries.
//     That is told by the first report after a link has become narrow.
//   - Loss without a queue is taken for the path's own, up to 20 %: packets lost
//     by radio do not come back when less is sent.
//
// Of receivers that send receiver reports only, or an estimate of their own, pulses
// find out what more fits: padding, and a sender report behind it whose round trip
// the receiver reports.
//
// An Estimator owns the history of sent packets and every filter over it. It is
// a plain value: no goroutine, no lock, no clock, nothing to close. One belongs
// to each viewer and is touched only by the goroutine of the viewer's shard, so
// no report of one viewer can reach another's estimate. It knows nothing of
// layers, RTP or sockets; the shard tells it what was sent, passes the reports
// on, reads State, and sends padding when ProbeBudget asks for it.
//
// Reports come from outside and may lie: any input is safe, work is bounded by
// the report's own size, and a liar changes its own target only, within
// Config.Min and Config.Max.
//
// Inside the package times are microseconds and rates bits per second.
package estimate
