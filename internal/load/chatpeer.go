package load

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/pion/datachannel"
	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/sctp"

	"github.com/sluice-live/sluice/internal/appdata"
)

// Limits of a bot's SCTP, as Pion's peer connections have them.
const (
	chatMTU    = 1191
	chatFrame  = 64 << 10 // the longest that is read
	chatWindow = 1 << 20
)

// ChatChannels connects bots to a chat by data channels in WHEP sessions of sound
// alone.
type ChatChannels struct {
	side    *side
	reactor *reactor
	logs    logging.LoggerFactory
}

// NewChatChannels prepares bots for a WHEP endpoint. Close frees what they share.
func NewChatChannels(ctx context.Context, endpoint, token string, requests *http.Client) (*ChatChannels, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	s, err := newSide(ctx, endpoint, token, requests, id)
	if err != nil {
		return nil, err
	}
	r, err := newReactor(Reading{})
	if err != nil {
		return nil, err
	}
	return &ChatChannels{side: s, reactor: r, logs: logging.NewDefaultLoggerFactory()}, nil
}

// Close frees what bots share, after the last has been closed.
func (c *ChatChannels) Close() error { return c.reactor.close() }

// chatPeer is a bot's session.
type chatPeer struct {
	peer
	sctp    *sctp.Association
	channel *datachannel.DataChannel
	reader  sync.WaitGroup
	visits  int
}

// Dial connects a bot, as ChatConfig wants it.
func (c *ChatChannels) Dial(ctx context.Context, _ int, take func(frame []byte)) (ChatConn, error) {
	p := &chatPeer{peer: peer{side: c.side, reactor: c.reactor}}
	p.media = p
	p.app = appdata.NewConn(func(b []byte) { _ = p.socket.send(b, p.remote) }, nil, chatWindow) // what is lost is sent again
	if err := p.join(ctx, c.logs, take); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *chatPeer) join(ctx context.Context, logs logging.LoggerFactory, take func(frame []byte)) error {
	if err := p.open(); err != nil {
		return err
	}
	if _, err := p.connect(ctx, offer{chat: true}, func(*answer) {}); err != nil {
		return err
	}
	secrets, err := secretsOf(p.conn)
	if err != nil {
		return err
	}
	if err := p.app.Arm(secrets); err != nil {
		return err
	}
	p.reactor.do(func() { p.reactor.add(p) })
	p.sctp, err = sctp.ClientContext(ctx, sctp.WithNetConn(p.app), sctp.WithLoggerFactory(logs), sctp.WithMTU(chatMTU), sctp.WithMaxReceiveBufferSize(chatWindow))
	if err != nil {
		return fmt.Errorf("SCTP: %w", err)
	}
	p.channel, err = datachannel.Dial(p.sctp, 0, &datachannel.Config{ChannelType: datachannel.ChannelTypeReliable, Label: "chat", LoggerFactory: logs})
	if err != nil {
		return fmt.Errorf("data channel: %w", err)
	}
	p.reader.Go(func() { p.read(take) })
	return nil
}

// secretsOf reads what a handshake has agreed on out of Pion's saved state.
func secretsOf(conn *dtls.Conn) (appdata.Secrets, error) {
	state, ok := conn.ConnectionState()
	if !ok {
		return appdata.Secrets{}, errors.New("DTLS: no state after the handshake")
	}
	saved, err := state.MarshalBinary()
	if err != nil {
		return appdata.Secrets{}, fmt.Errorf("DTLS: %w", err)
	}
	var s struct {
		LocalRandom, RemoteRandom [32]byte
		CipherSuiteID             uint16
		MasterSecret              []byte
		IsClient                  bool
	}
	if err := gob.NewDecoder(bytes.NewReader(saved)).Decode(&s); err != nil {
		return appdata.Secrets{}, fmt.Errorf("DTLS: %w", err)
	}
	if !s.IsClient || dtls.CipherSuiteID(s.CipherSuiteID) != dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {
		return appdata.Secrets{}, errors.New("DTLS: the server wants a role or a cipher that bots have not")
	}
	return appdata.Secrets{Master: s.MasterSecret, ClientRandom: s.LocalRandom[:], ServerRandom: s.RemoteRandom[:], Client: true}, nil
}

func (p *chatPeer) read(take func(frame []byte)) {
	frame := make([]byte, chatFrame)
	for {
		n, err := p.channel.Read(frame)
		if err != nil {
			return
		}
		take(frame[:n])
	}
}

// Send implements ChatConn.
func (p *chatPeer) Send(frame []byte) error {
	_, err := p.channel.WriteDataChannel(frame, true)
	return err
}

// Close implements ChatConn.
func (p *chatPeer) Close() error {
	p.reactor.do(func() { p.reactor.remove(p) })
	var errs []error
	if p.sctp != nil {
		errs = append(errs, p.sctp.Close())
	}
	errs = append(errs, p.app.Close())
	p.reader.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	return errors.Join(append(errs, p.close(ctx))...)
}

// visit implements visited.
func (p *chatPeer) visit(now int64) {
	if p.visits++; p.visits%(consentSeconds*visitsPerSecond) == 0 {
		p.ice.consent(now) // a server that is gone shows as a lost message
	}
}

// rtp implements media. Bots do not listen.
func (p *chatPeer) rtp([]byte, int, int64) {}

// rtcp implements media.
func (p *chatPeer) rtcp([]byte, int64) {}
