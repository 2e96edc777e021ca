package red

// MaxBlocks is the most that a payload may hold: the primary one and what comes
// before it.
const MaxBlocks = 8

const (
	maxOffset  = 1<<14 - 1 // clock ticks
	maxLength  = 1<<10 - 1 // bytes of a redundant block
	headBytes  = 4         // of a redundant block
	finalBytes = 1         // of the primary one
)

// Block is one encoded frame.
type Block struct {
	PT     uint8
	Offset uint32 // clock ticks before the packet's timestamp; 0 for the primary block
	Data   []byte
}

// Parse reads a payload into blocks, oldest first and the primary one last, and
// returns their number. The data are parts of the payload. ok is false for what
// is not a valid payload, or has more than MaxBlocks.
func Parse(payload []byte, blocks *[MaxBlocks]Block) (n int, ok bool) {
	var lengths [MaxBlocks]int
	b := payload
	for {
		if len(b) == 0 || n == MaxBlocks {
			return 0, false
		}
		blocks[n] = Block{PT: b[0] & 0x7f}
		if b[0]&0x80 == 0 {
			b = b[finalBytes:]
			break
		}
		if len(b) < headBytes {
			return 0, false
		}
		blocks[n].Offset = uint32(b[1])<<6 | uint32(b[2])>>2
		lengths[n] = int(b[2]&3)<<8 | int(b[3])
		b = b[headBytes:]
		n++
	}
	for i := range n {
		if lengths[i] > len(b) {
			return 0, false
		}
		blocks[i].Data, b = b[:lengths[i]:lengths[i]], b[lengths[i]:]
	}
	blocks[n].Data = b
	return n + 1, true
}

// Fits reports whether a frame may be a redundant block.
func Fits(offset uint32, length int) bool {
	return offset > 0 && offset <= maxOffset && length > 0 && length <= maxLength
}

// Size is the size of the payload that Append makes.
func Size(blocks []Block) int {
	n := finalBytes - headBytes
	for i := range blocks {
		n += headBytes + len(blocks[i].Data)
	}
	return n
}

// Append appends the payload of blocks to b: the last is the primary one, and
// the others Fit.
func Append(b []byte, blocks []Block) []byte {
	last := len(blocks) - 1
	for i, block := range blocks[:last] {
		n := len(blocks[i].Data)
		b = append(b, 0x80|block.PT, byte(block.Offset>>6), byte(block.Offset<<2)|byte(n>>8), byte(n))
	}
	b = append(b, blocks[last].PT&0x7f)
	for i := range blocks {
		b = append(b, blocks[i].Data...)
	}
	return b
}

// Relabel gives every block of a valid payload another payload type.
func Relabel(payload []byte, pt uint8) {
	for at := 0; at < len(payload); at += headBytes {
		more := payload[at] & 0x80
		payload[at] = more | pt&0x7f
		if more == 0 {
			return
		}
	}
}
