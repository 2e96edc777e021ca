package sfu

import (
	"sync"

	"github.com/pion/datachannel"
	"github.com/pion/sctp"
)

const (
	// dataMTU is the longest SCTP packet that is sent.
	dataMTU = 1191
	// dataQueue bounds what waits for the session's SCTP, in bytes; more is lost.
	dataQueue = 2 * sctpWindow
)

// association is the SCTP of a data path.
type association struct {
	mu    sync.Mutex
	sctp  *sctp.Association // nil before the peer has made it
	ended bool
}

// carryData has data channels go by a path of their own.
func (ses *session) carryData(d *dataPath, owner ChannelOwner) {
	ses.data = d
	d.first = func() {
		ses.channels.mu.Lock()
		defer ses.channels.mu.Unlock()
		if !ses.channels.closed {
			ses.readers.Go(func() { ses.acceptChannels(owner) })
		}
	}
	ses.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(d.follow)
}

// acceptChannels lets the peer open chat channels until its SCTP ends.
func (ses *session) acceptChannels(owner ChannelOwner) {
	most, logs := ses.offer.data.most, newPionLog(ses.log)
	a, err := sctp.ServerWithOptions(
		sctp.WithNetConn(ses.data), sctp.WithLoggerFactory(logs), sctp.WithMTU(dataMTU),
		sctp.WithMaxMessageSize(most), sctp.WithMaxReceiveBufferSize(sctpWindow), sctp.WithEnableInterleaving(false),
	)
	if err != nil {
		ses.log.Debug("data channels", "err", err)
		return
	}
	defer func() {
		ses.association.drop()
		if err := a.Close(); err != nil {
			ses.log.Debug("close SCTP", "err", err)
		}
	}()
	if !ses.association.hold(a) {
		return
	}
	for {
		d, err := datachannel.Accept(a, &datachannel.Config{LoggerFactory: logs})
		if err != nil {
			ses.log.Debug("the data channels have ended", "err", err)
			return
		}
		if fault := ses.judge(d.Label, d.ChannelType == datachannel.ChannelTypeReliable); fault != "" {
			ses.log.Debug("refuse data channel", "err", fault)
			if err := d.Close(); err != nil {
				ses.log.Debug("close data channel", "err", err)
			}
			continue
		}
		ses.openChannel(d, int(most), owner)
	}
}

// hold notes the association, if the session goes on.
func (a *association) hold(s *sctp.Association) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sctp = s
	return !a.ended
}

// drop forgets an association that has ended.
func (a *association) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sctp = nil
}

// endData ends the data path, and tells the peer.
func (ses *session) endData() {
	ses.association.mu.Lock()
	ses.association.ended = true
	a := ses.association.sctp
	ses.association.mu.Unlock()
	if a != nil {
		a.Abort("")
	}
	ses.data.Bye()
	_ = ses.data.Close() // it cannot fail
}
