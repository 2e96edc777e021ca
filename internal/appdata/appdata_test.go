package appdata_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"

	"github.com/sluice-live/sluice/internal/appdata"
)

// side is a key and a salt.
func side(b byte) (key, salt []byte) {
	return bytes.Repeat([]byte{b}, appdata.KeyBytes), bytes.Repeat([]byte{b + 1}, appdata.SaltBytes)
}

func pair(t testing.TB) (*appdata.Sealer, *appdata.Opener) {
	t.Helper()
	key, salt := side(7)
	sealer, err := appdata.NewSealer(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := appdata.NewOpener(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	return sealer, opener
}

func sealed(t testing.TB, s *appdata.Sealer, payload string) []byte {
	t.Helper()
	b, err := s.Seal(make([]byte, 0, len(payload)+appdata.Overhead), appdata.ApplicationData, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPion exchanges records with Pion's cipher.
func TestPion(t *testing.T) {
	ours, oursSalt := side(1)
	theirs, theirsSalt := side(5)
	pion, err := ciphersuite.NewGCM(theirs, theirsSalt, ours, oursSalt)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := appdata.NewSealer(ours, oursSalt)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := appdata.NewOpener(theirs, theirsSalt)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pion.Decrypt(recordlayer.Header{}, sealed(t, sealer, "from here"))
	if err != nil || string(got[recordlayer.FixedHeaderSize:]) != "from here" {
		t.Errorf("Pion reads %q: %v", got, err)
	}
	r := &recordlayer.RecordLayer{
		Header:  recordlayer.Header{Epoch: 1, Version: protocol.Version1_2, SequenceNumber: 3},
		Content: &protocol.ApplicationData{Data: []byte("from Pion")},
	}
	raw, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = pion.Encrypt(r, raw); err != nil {
		t.Fatal(err)
	}
	plain, err := opener.Open(raw)
	if err != nil || string(plain) != "from Pion" {
		t.Errorf("got %q: %v", plain, err)
	}
}

func TestReplay(t *testing.T) {
	sealer, opener := pair(t)
	var records [][]byte
	for range 200 {
		records = append(records, sealed(t, sealer, "x"))
	}
	open := func(i int) error {
		_, err := opener.Open(bytes.Clone(records[i]))
		return err
	}
	for _, step := range []struct {
		record int
		want   error
	}{
		{5, nil}, {5, appdata.ErrReplay}, {3, nil}, {3, appdata.ErrReplay}, {68, nil}, {5, appdata.ErrReplay}, {4, appdata.ErrReplay},
		{6, nil}, {199, nil}, {68, appdata.ErrReplay}, {136, nil}, {135, appdata.ErrReplay},
	} {
		if err := open(step.record); !errors.Is(err, step.want) {
			t.Errorf("record %d: %v, want %v", step.record, err, step.want)
		}
	}
}

// TestForged changes each byte of a record: it is not taken, and the true one is
// taken after it.
func TestForged(t *testing.T) {
	sealer, opener := pair(t)
	record := sealed(t, sealer, "hello")
	for i := range record {
		forged := bytes.Clone(record)
		forged[i] ^= 1
		if i == 1 || i == 2 || i == 11 || i == 12 {
			continue // version and length are what the record says of itself
		}
		if plain, err := opener.Open(forged); err == nil {
			t.Errorf("byte %d may be anything: %q", i, plain)
		}
	}
	if _, err := opener.Open(record); err != nil {
		t.Error(err)
	}
}

// link is two Conns that send to each other.
func link(t *testing.T, first func()) (client, server *appdata.Conn, alerts *[][]byte) {
	t.Helper()
	alerts = &[][]byte{}
	client = appdata.NewConn(func(b []byte) { server.Take(bytes.Clone(b)) }, nil, 1<<16)
	server = appdata.NewConn(func(b []byte) {
		b = bytes.Clone(b)
		if left, _ := client.Take(b); left > 0 {
			*alerts = append(*alerts, b[:left])
		}
	}, first, 1000)
	secrets := appdata.Secrets{Master: []byte("master"), ClientRandom: make([]byte, 32), ServerRandom: make([]byte, 32)}
	if _, err := server.Write([]byte("x")); err == nil {
		t.Error("written without keys")
	}
	if err := server.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	secrets.Client = true
	if err := client.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	return client, server, alerts
}

func TestConn(t *testing.T) {
	begun := 0
	client, server, alerts := link(t, func() { begun++ })
	server.Bye() // nothing has come: that is the handshake owner's
	b := make([]byte, 100)
	for _, text := range []string{"one", "two"} {
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(b); err != nil || string(b[:n]) != text {
			t.Errorf("got %q: %v", b[:n], err)
		}
	}
	if _, err := server.Write([]byte("three")); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(b); err != nil || string(b[:n]) != "three" {
		t.Errorf("got %q: %v", b[:n], err)
	}
	server.Bye()
	if begun != 1 || len(*alerts) != 1 || (*alerts)[0][0] != appdata.Alert {
		t.Errorf("begun %d times, alerts %x", begun, *alerts)
	}
	if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(b); err == nil {
		t.Error("read beyond the deadline")
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(b); err == nil {
		t.Error("read after the end")
	}
}

// TestTake takes application data out of what else a datagram holds.
func TestTake(t *testing.T) {
	var datagrams [][]byte
	client := appdata.NewConn(func(b []byte) { datagrams = append(datagrams, bytes.Clone(b)) }, nil, 1000)
	server := appdata.NewConn(func([]byte) {}, nil, 1000)
	secrets := appdata.Secrets{Master: []byte("master"), ClientRandom: make([]byte, 32), ServerRandom: make([]byte, 32)}
	if err := server.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	secrets.Client = true
	if err := client.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	handshake := append([]byte{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 3}, "abc"...)
	datagram := append(append(bytes.Clone(handshake), datagrams[0]...), handshake...)
	left, taken := server.Take(datagram)
	if !taken || !bytes.Equal(datagram[:left], append(bytes.Clone(handshake), handshake...)) {
		t.Errorf("taken %t, left %x", taken, datagram[:left])
	}
	for _, other := range []string{"", "\x00\x01stun", "\x80rtp", "\x16short"} {
		if left, taken := server.Take([]byte(other)); left != len(other) || taken {
			t.Errorf("%q: left %d, taken %t", other, left, taken)
		}
	}
}

// FuzzTake takes what anybody may send.
func FuzzTake(f *testing.F) {
	sealer, _ := pair(f)
	f.Add(sealed(f, sealer, "hello"))
	f.Add([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(binary.BigEndian.AppendUint16([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0}, 5000))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		c := appdata.NewConn(func([]byte) {}, nil, 1000)
		if err := c.Arm(appdata.Secrets{Master: []byte("m"), ClientRandom: make([]byte, 32), ServerRandom: make([]byte, 32)}); err != nil {
			t.Fatal(err)
		}
		if left, taken := c.Take(datagram); left > len(datagram) || taken {
			t.Errorf("left %d of %d, taken %t", left, len(datagram), taken)
		}
	})
}
