package hlsfallback

import (
	"bytes"
	"compress/gzip"
	"strconv"
	"sync"
	"time"
)

// body is a text answer that many callers share.
type body struct {
	plain  []byte
	length []string // Content-Length

	once         sync.Once
	packed       []byte // gzip
	packedLength []string
}

// gzipFrom is the least text that is worth compressing, in bytes. It is done once
// for all who share the text; an answer that fits into one write of the HTTP
// server, 4 KiB with its header, saves each of them a system call.
const gzipFrom = 1500

// newPackers keeps compressors, which are large.
func newPackers() *sync.Pool {
	return &sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			return nil
		}
		return w
	}}
}

func newBody(text []byte) *body {
	return &body{plain: text, length: []string{strconv.Itoa(len(text))}}
}

// gzip returns the compressed text, nil where it is not worth it.
func (b *body) gzip(packers *sync.Pool) ([]byte, []string) {
	if len(b.plain) < gzipFrom {
		return nil, nil
	}
	b.once.Do(func() {
		var packed bytes.Buffer
		w, ok := packers.Get().(*gzip.Writer)
		if !ok {
			return // the level is a constant that exists
		}
		w.Reset(&packed)
		_, _ = w.Write(b.plain) // a buffer does not fail
		_ = w.Close()
		packers.Put(w)
		b.packed = packed.Bytes()
		b.packedLength = []string{strconv.Itoa(len(b.packed))}
	})
	return b.packed, b.packedLength
}

// payload is media that many callers share, with its headers.
type payload struct {
	data   []byte
	length []string
	since  []string // when it came to be, as microseconds of the Unix epoch
}

func newPayload(data []byte) *payload {
	return &payload{
		data: data, length: []string{strconv.Itoa(len(data))},
		since: []string{strconv.FormatInt(time.Now().UnixMicro(), 10)},
	}
}

// moved is the same payload at another place in memory.
func (p *payload) moved(data []byte) *payload {
	return &payload{data: data, length: p.length, since: p.since}
}
