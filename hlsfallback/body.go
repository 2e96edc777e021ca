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

// gzipFrom is the least text that is worth compressing, in bytes: below it a
// playlist costs more than the bytes on the wire do.
const gzipFrom = 8 << 10

func newBody(text []byte) *body {
	return &body{plain: text, length: []string{strconv.Itoa(len(text))}}
}

// gzip returns the compressed text, nil where it is not worth it.
func (b *body) gzip() ([]byte, []string) {
	if len(b.plain) < gzipFrom {
		return nil, nil
	}
	b.once.Do(func() {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		if err != nil {
			return // the level is a constant that exists
		}
		_, _ = w.Write(b.plain) // a buffer does not fail
		_ = w.Close()
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
