package chat

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// muteFrames is how many frames a muted member may still send before it is put
// out.
const muteFrames = 2000

// member is a connection in a room. Its fields belong to the room, but for
// those that never change.
type member struct {
	conn   Conn
	user   User
	guest  bool
	origin string // tag of the address; never sent to members
	write  bool   // the grant allows it
	counts bool   // as a viewer: the media plane does not
	most   int    // bytes that a welcome may have

	index   int // in room.members, -1: not in it
	skip    int // items due that its welcome holds
	fresh   bool
	own     bool // it gets frames of its own at the next flush
	bucket  tokens
	pending int // messages under way
	paging  bool
}

// newMember gives a connection its user.
func (r *room) newMember(conn Conn, who Who, now time.Time) *member {
	m := &member{conn: conn, index: -1, origin: r.hub.tag(who.Remote), counts: !who.Viewer && !who.Publisher, most: maxWelcome}
	if who.MaxFrame > 0 {
		m.most = min(m.most, who.MaxFrame)
	}
	m.user, m.guest = userOf(who)
	m.write = who.Grant.Chat || m.user.Role.moderates()
	m.bucket.fill(r.hub.config.Rate, r.hub.config.Burst, now)
	return m
}

// userOf reads the user from a grant. An anonymous holder of an open node's
// rights is a guest, whatever they are, unless the session publishes.
func userOf(who Who) (user User, guest bool) {
	g := who.Grant
	signed := g.Identity != "" || !g.Expires.IsZero()
	user = User{ID: userID(g.Identity), Name: cleanName(g.Name), Role: RoleViewer}
	switch {
	case who.Publisher || signed && g.MayPublish(who.Stream):
		user.Role = RoleStreamer
	case signed && g.MayModerate(who.Stream):
		user.Role = RoleModerator
	}
	if user.ID == "" {
		user.ID, guest = guestID(who.Key), true
	}
	if user.Name == "" && !guest {
		user.Name = cleanName(g.Identity)
	}
	if user.Name == "" {
		user.Name = guestName(user.ID)
	}
	return user, guest && !user.Role.moderates()
}

// userID makes an identity fit for an id that is no guest's.
func userID(identity string) string {
	identity = strings.ToValidUTF8(identity, "\uFFFD")
	if len(identity) > maxID {
		sum := sha256.Sum256([]byte(identity))
		return "=" + base32.StdEncoding.EncodeToString(sum[:])
	}
	if strings.HasPrefix(identity, "~") || strings.HasPrefix(identity, "=") {
		return "=" + identity
	}
	return identity
}

// guestID is the id that belongs to a guest's key; without a key, a new one.
func guestID(key string) string {
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte("guest\x00" + key))
	return "~" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:16])
}

// tag is a pseudonym of an address, an IPv6 address by its /64.
func (h *Hub) tag(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, h.config.Secret)
	mac.Write([]byte(prefix.String()))
	return strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil))[:16])
}

// serve reads a member's frames until its connection ends.
func (r *room) serve(conn Conn, who Who) error {
	m := r.newMember(conn, who, time.Now())
	if !r.do(func() { r.join(m) }) {
		return nil
	}
	defer func() { r.do(func() { r.part(m) }) }()
	var gate gate
	gate.frames.fill(r.hub.config.FrameRate, int(2*r.hub.config.FrameRate)+1, time.Now())
	for {
		frame, err := conn.Receive()
		if err != nil && !errors.Is(err, ErrFrameTooLong) {
			return nil // it has left
		}
		switch gate.pass(time.Now()) {
		case shut:
			r.hub.counters.dropped.Add(1)
			return nil
		case muted:
			continue
		case muting:
			wait := time.Duration(gate.frames.burst / gate.frames.rate * float64(time.Second))
			r.do(func() { r.refuse(m, "", refusal{codeRate, "too many frames: you are muted for a while", wait}) })
			continue
		}
		q, fault := r.read(frame, err)
		switch {
		case fault != nil:
			r.do(func() { r.refuse(m, "", *fault) })
		case q.Type == "auth" && who.Again != nil:
			if grant, err := who.Again(q.Token); err != nil {
				r.do(func() { r.refuse(m, q.Ref, refusal{code: codeForbidden, message: "the token is not accepted"}) })
			} else {
				who.Grant = grant
				m = r.replace(m, who)
			}
		default:
			r.do(func() { r.handle(m, q) })
		}
	}
}

// replace makes a connection another user's.
func (r *room) replace(m *member, who Who) *member {
	next := r.newMember(m.conn, who, time.Now())
	r.do(func() {
		if m.index >= 0 {
			r.part(m)
			r.join(next)
		}
	})
	return next
}

// read reads one frame.
func (r *room) read(frame []byte, err error) (request, *refusal) {
	if err != nil || len(frame) > r.hub.config.FrameBytes {
		return request{}, &refusal{code: codeLong, message: "the frame is too long"}
	}
	return parseRequest(frame)
}

// gate lets a member's frames pass at a rate. Who goes beyond it is muted until
// it has been silent for a while: its frames are not even looked at.
type gate struct {
	frames  tokens
	skipped int // frames since it was muted; 0: it is not
}

// passage is what becomes of a frame.
type passage int

const (
	passes passage = iota
	muting         // it is the first that does not pass
	muted
	shut // the member has to go
)

func (g *gate) pass(now time.Time) passage {
	if g.skipped > 0 && !g.frames.full(now) {
		if g.skipped++; g.skipped > muteFrames {
			return shut
		}
		return muted
	}
	g.skipped = 0
	if _, ok := g.frames.take(now); ok {
		return passes
	}
	g.skipped = 1
	return muting
}

// join lets a member in: it gets the welcome, and is due what comes after.
func (r *room) join(m *member) {
	r.nameApart(m)
	m.index = len(r.members)
	r.members = append(r.members, m)
	r.hub.counters.members.Add(1)
	if m.counts {
		r.visitors++
	}
	if len(r.due) > 0 {
		m.skip, m.fresh = len(r.due), true
	}
	r.tell(m, r.welcome(m))
	if m.index < 0 {
		return
	}
	var now [][]byte
	if r.state.State != "" {
		now = append(now, marshal(r.state))
	}
	now = append(now, marshal(viewersFrame{"viewers", max(r.viewers, r.here())}))
	for _, p := range pack(now) {
		r.tell(m, p)
	}
}

// part takes a member out. It may be out already.
func (r *room) part(m *member) {
	if m.index < 0 {
		return
	}
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[m.index], moved.index = moved, m.index
	r.members[last] = nil
	r.members = r.members[:last]
	m.index = -1
	r.hub.counters.members.Add(-1)
	if m.counts {
		r.visitors--
	}
	key := skeleton(m.user.Name)
	if r.names[key][m.user.ID]--; r.names[key][m.user.ID] <= 0 {
		delete(r.names[key], m.user.ID)
	}
	if len(r.names[key]) == 0 {
		delete(r.names, key)
	}
	if m.pending > 0 {
		for ref, p := range r.posts.pending {
			if p.from == m {
				delete(r.posts.pending, ref)
			}
		}
	}
}

// nameApart keeps a member from having a name that could be taken for another
// user's or for the system's: it gets a mark of its id.
func (r *room) nameApart(m *member) {
	key := skeleton(m.user.Name)
	clash := reserved(key) && !m.user.Role.moderates() || key == ""
	for id := range r.names[key] {
		clash = clash || id != m.user.ID
	}
	if !clash {
		for _, kept := range r.history.all {
			clash = clash || kept.UserID != m.user.ID && kept.skeleton == key
		}
	}
	if clash && !m.user.Role.moderates() {
		m.user.Name += " #" + mark(m.user.ID)
		key = skeleton(m.user.Name)
	}
	if r.names[key] == nil {
		r.names[key] = map[string]int{}
	}
	r.names[key][m.user.ID]++
}

// tell sends a frame to one member. A member that does not keep up is put out.
func (r *room) tell(m *member, frame []byte) {
	if m.index < 0 {
		return
	}
	r.hub.counters.frames.Add(1)
	if err := m.conn.Send(frame); err != nil {
		if errors.Is(err, ErrSlow) {
			r.hub.counters.dropped.Add(1)
			r.log.Debug("a member of the chat is put out", "err", err)
		}
		r.part(m)
		r.helpers.Go(func() { m.conn.Close("it does not keep up") }) // which may wait for the network
	}
}

// refuse tells a member why not. The gate bounds how often.
func (r *room) refuse(m *member, ref string, f refusal) {
	r.hub.counters.refuse(f.code)
	r.tell(m, f.frame(ref))
}
