package sfu

import (
	"github.com/pion/rtcp"

	"github.com/sluice-live/sluice"
)

// command is what others ask of a shard.
type command struct {
	kind      commandKind
	viewer    *Viewer
	wire      wire
	want      sluice.LayerChoice
	nacks     []rtcp.NackPair
	reception reception
	transport *rtcp.TransportLayerCC
	remb      float64
	reply     chan<- []sluice.Viewer
}

type commandKind uint8

const (
	addViewer commandKind = iota
	removeViewer
	preferLayer
	answerNACK
	wantKeyframe
	noteReception
	noteTransport
	noteREMB
	restTrack
	describe
)

// commandBatch is how many commands are carried out before media goes on.
const commandBatch = 64

// obey carries out c and what waits behind it, and reports whether viewers have
// something new to get.
func (sh *shard) obey(c command) (news bool) {
	sh.now = sh.sfu.now()
	for range commandBatch {
		sh.apply(c, sh.now)
		news = news || c.kind == addViewer || c.kind == preferLayer || sh.changed
		sh.changed = false
		select {
		case c = <-sh.commands:
		default:
			return news
		}
	}
	sh.apply(c, sh.now)
	return true
}

// apply carries a command out.
func (sh *shard) apply(c command, now int64) {
	switch c.kind {
	case addViewer:
		m := newMember(c.viewer, c.wire, c.want, now)
		sh.index[c.viewer] = len(sh.members)
		sh.members = append(sh.members, m)
		sh.menu.read(sh.stream.sources.Load(), now)
		m.choose(&sh.menu, now)
		return
	case describe:
		c.reply <- sh.describe()
		return
	}
	i, ok := sh.index[c.viewer]
	if !ok {
		return // it has left
	}
	m := sh.members[i]
	switch c.kind {
	case removeViewer:
		last := len(sh.members) - 1
		sh.members[i] = sh.members[last]
		sh.index[sh.members[i].viewer] = i
		delete(sh.index, c.viewer)
		sh.members[last] = nil
		sh.members = sh.members[:last]
		m.stop()
	case preferLayer:
		m.want = c.want
		sh.menu.read(sh.stream.sources.Load(), now)
		m.choose(&sh.menu, now)
	case answerNACK:
		sh.resend(m, c.nacks, now)
	case wantKeyframe:
		m.plis++
		if m.video != nil && m.video.current != nil {
			m.video.current.askKeyframe(now)
		}
	case noteReception:
		m.reception = c.reception
		m.received(now)
		m.heed(sh, c, now)
	case noteTransport, noteREMB:
		m.heed(sh, c, now)
	case restTrack:
		m.paused = c.remb < restBelow
		sh.menu.read(sh.stream.sources.Load(), now)
		m.choose(&sh.menu, now)
		sh.changed = true
	}
}

// resend answers the NACKs of one RTCP packet.
func (sh *shard) resend(m *member, pairs []rtcp.NackPair, now int64) {
	if m.video == nil {
		return
	}
	rtt := m.reception.rtt
	m.video.resend.twice = m.reception.loss >= twiceLoss && !m.crowded()
	if m.estimate != nil {
		rtt += int64(m.estimate.State().Queue) // what was sent again may still be in it
	}
	var asked, refused uint64
	before := m.video.packets
	for _, pair := range pairs {
		pair.Range(func(seq uint16) bool {
			asked++
			if !m.video.again(sh, seq, rtt, now) {
				refused++
			}
			return true
		})
	}
	sent := m.video.packets - before
	m.nacks += asked
	m.resent += sent
	c := &sh.sfu.counters
	c.nacksIn.Add(asked)
	c.resent.Add(sent)
	c.resendRefused.Add(refused)
}
