package extension

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func fixed() []byte {
	b := make([]byte, fixedHeader+MaxBytes+100)
	b[0] = 2 << 6
	return b
}

// write puts elements into a packet and reads it back.
func write(t *testing.T, size int, elements ...Element) (rtp.Header, int) {
	t.Helper()
	b := fixed()
	w := Begin(b, Wide(elements))
	for _, e := range elements {
		w.Add(e.ID, e.Data)
	}
	end := w.End(size)
	var h rtp.Header
	if n, err := h.Unmarshal(b[:end]); err != nil || n != end {
		t.Fatalf("read back %d of %d bytes: %v", n, end, err)
	}
	return h, end
}

func TestFormsAndSizes(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 17)
	for _, tt := range []struct {
		name     string
		size     int
		elements []Element
		end      int
		profile  uint16
	}{
		{"none", 0, nil, 12, 0},
		{"none, to a size", 8, nil, 20, profileOne},
		{"one of two bytes", 0, []Element{{3, []byte{1, 2}}}, 20, profileOne},
		{"two in one word more", 0, []Element{{3, []byte{1, 2}}, {5, []byte{1, 2, 3}}}, 24, profileOne},
		{"one padded to the size of two", 12, []Element{{3, []byte{1, 2}}}, 24, profileOne},
		{"of no id", 0, []Element{{0, []byte{1, 2}}}, 12, 0},
		{"a long one", 0, []Element{{3, []byte{1, 2}}, {5, long}}, 12 + 4 + 4 + 19 + 1, profileTwo},
		{"a high id", 0, []Element{{15, []byte{1}}}, 20, profileTwo},
		{"an empty one", 0, []Element{{4, []byte{}}}, 20, profileTwo},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, end := write(t, tt.size, tt.elements...)
			if end != tt.end {
				t.Errorf("ends at %d, want %d", end, tt.end)
			}
			if h.ExtensionProfile != tt.profile {
				t.Errorf("profile %x, want %x", h.ExtensionProfile, tt.profile)
			}
			for _, e := range tt.elements {
				if got := h.GetExtension(e.ID); e.ID != 0 && !bytes.Equal(got, e.Data) {
					t.Errorf("extension %d is %v, want %v", e.ID, got, e.Data)
				}
			}
		})
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	b := fixed()
	w := Begin(b, true)
	if !w.Add(1, make([]byte, 200)) || w.Add(2, make([]byte, 100)) || w.Add(3, make([]byte, 256)) || !w.Add(4, []byte{9}) {
		t.Error("the room was not kept to")
	}
	var h rtp.Header
	if _, err := h.Unmarshal(b[:w.End(0)]); err != nil || len(h.GetExtensionIDs()) != 2 || h.GetExtension(4)[0] != 9 {
		t.Errorf("extensions %v, %v", h.GetExtensionIDs(), err)
	}
	narrow := Begin(fixed(), false)
	if narrow.Add(15, []byte{1}) || narrow.Add(1, nil) || narrow.Add(1, make([]byte, 17)) {
		t.Error("the one-byte form took what it has no place for")
	}
}

func TestNoAllocation(t *testing.T) {
	b, elements := fixed(), []Element{{3, []byte{1, 2}}, {5, []byte{1, 2, 3}}}
	if n := testing.AllocsPerRun(100, func() {
		w := Begin(b, Wide(elements))
		for _, e := range elements {
			w.Add(e.ID, e.Data)
		}
		w.End(0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzWriter(f *testing.F) {
	f.Add(uint8(3), []byte{1, 2}, uint8(5), []byte{1, 2, 3}, 0)
	f.Add(uint8(15), []byte{}, uint8(255), bytes.Repeat([]byte{1}, 250), 100)
	f.Add(uint8(0), []byte{}, uint8(0), []byte{}, 9999)
	f.Fuzz(func(t *testing.T, id1 uint8, data1 []byte, id2 uint8, data2 []byte, size int) {
		elements := []Element{{id1, data1}, {id2, data2}}
		b := fixed()
		w := Begin(b, Wide(elements))
		added := 0
		for _, e := range elements {
			if w.Add(e.ID, e.Data) {
				added++
			}
		}
		end := w.End(max(size, 0) % 4096)
		var h rtp.Header
		n, err := h.Unmarshal(b[:end])
		if err != nil || n != end || end > fixedHeader+MaxBytes {
			t.Fatalf("%d of %d bytes: %v", n, end, err)
		}
		if got := len(h.GetExtensionIDs()); got != added {
			t.Fatalf("%d extensions, wrote %d", got, added)
		}
	})
}
