package homerelay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The layout of bbolt's file, version 2. bbolt believes what it reads there,
// and its panics may come in goroutines of its own, where nobody can recover
// them: so a file is looked at before it is opened.
const (
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	metaSize     = 64
	headerSize   = 16 // id (8), flags (2), count (2), overflow (4)
	elementSize  = 16 // of a leaf: flags, position, key and value size (4 each); of a branch: position, key size, child (8)
	bucketHeader = 16 // root page (8), sequence (8)

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagBucket = 0x01 // of an element

	maxDepth = 64
)

// pageFile reads a bbolt file and believes nothing in it.
type pageFile struct {
	file     *os.File
	pageSize int64
	root     uint64 // page of the bucket of buckets
	pages    uint64 // in use
	seen     []bool // by page; each belongs to one place of the tree
}

// element is an entry of a page.
type element struct {
	key, value []byte
	bucket     bool
	child      uint64
}

// openPages reads the meta page that counts: of the valid ones, the newer.
func openPages(path string) (*pageFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &pageFile{file: f}
	newest := int64(-1)
	for size := int64(1024); size <= 64<<10; size *= 2 {
		for i := range int64(2) {
			p.readMeta(i*size, size, &newest)
		}
	}
	info, err := f.Stat()
	if err == nil && newest < 0 {
		err = errors.New("no meta page is valid")
	}
	if err == nil && int64(p.pages)*p.pageSize > info.Size() {
		err = fmt.Errorf("%d pages in a file of %d bytes", p.pages, info.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.seen = make([]bool, p.pages)
	return p, nil
}

// readMeta takes the meta page at an offset if it is valid and newer.
func (p *pageFile) readMeta(offset, pageSize int64, newest *int64) {
	data, err := p.bytes(offset+headerSize, metaSize)
	if err != nil {
		return
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	sum := fnv.New64a()
	_, _ = sum.Write(data[:metaSize-8])
	txid := int64(u64(data[48:]))
	if u32(data) != metaMagic || u32(data[4:]) != metaVersion || int64(u32(data[8:])) != pageSize ||
		u64(data[56:]) != sum.Sum64() || txid <= *newest {
		return
	}
	*newest, p.pageSize, p.root, p.pages = txid, pageSize, u64(data[16:]), u64(data[40:])
}

func (p *pageFile) bytes(offset, n int64) ([]byte, error) {
	data := make([]byte, n)
	_, err := p.file.ReadAt(data, offset)
	return data, err
}

// check returns the first damage that it finds in the tree of pages.
func (p *pageFile) check() error {
	var first error
	p.tree(p.root, bounds{}, 0, func(element) {}, func(err error) {
		if first == nil {
			first = err
		}
	})
	return first
}

// bounds is what keys of a page may be: not less than least, and less than
// below, if there is one.
type bounds struct{ least, below []byte }

func (b bounds) hold(key []byte) bool {
	return bytes.Compare(key, b.least) >= 0 && (b.below == nil || bytes.Compare(key, b.below) < 0)
}

// tree calls visit with every entry below a page, those of buckets after the
// bucket's own, and bad with each damage, past which it goes on.
func (p *pageFile) tree(id uint64, keys bounds, depth int, visit func(element), bad func(error)) {
	damaged := func(err error) { bad(fmt.Errorf("page %d: %w", id, err)) }
	if depth > maxDepth || id < 2 || id >= p.pages {
		damaged(errors.New("it cannot be there"))
		return
	}
	header, err := p.bytes(int64(id)*p.pageSize, headerSize)
	if err != nil {
		damaged(err)
		return
	}
	own, overflow := binary.NativeEndian.Uint64(header), uint64(binary.NativeEndian.Uint32(header[12:]))
	if own != id || id+overflow >= p.pages {
		damaged(fmt.Errorf("it calls itself %d, and %d follow", own, overflow))
		return
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			damaged(errors.New("it is in two places"))
			return
		}
		p.seen[i] = true
	}
	data, err := p.bytes(int64(id)*p.pageSize, int64(1+overflow)*p.pageSize)
	if err != nil {
		damaged(err)
		return
	}
	p.entries(data, keys, depth, visit, damaged)
}

// entries is tree for the bytes of a page.
func (p *pageFile) entries(data []byte, keys bounds, depth int, visit func(element), bad func(error)) {
	leaf, list, err := parsePage(data)
	if err != nil {
		bad(err)
		return
	}
	for i, e := range list {
		if !keys.hold(e.key) || i > 0 && bytes.Equal(e.key, keys.least) {
			bad(fmt.Errorf("entry %d is out of order", i))
			return
		}
		keys.least = e.key
		switch {
		case !leaf:
			below := keys.below
			if i+1 < len(list) {
				below = list[i+1].key
			}
			p.tree(e.child, bounds{e.key, below}, depth+1, visit, bad)
		case e.bucket:
			visit(e)
			p.bucket(e, depth, visit, bad)
		default:
			visit(e)
		}
	}
}

// bucket is tree for a bucket, which may lie in its own entry.
func (p *pageFile) bucket(e element, depth int, visit func(element), bad func(error)) {
	switch {
	case len(e.value) < bucketHeader:
		bad(fmt.Errorf("bucket %q has no header", e.key))
	case binary.NativeEndian.Uint64(e.value) != 0:
		p.tree(binary.NativeEndian.Uint64(e.value), bounds{}, depth+1, visit, bad)
	default:
		p.entries(e.value[bucketHeader:], bounds{}, depth+1, visit, bad)
	}
}

// parsePage takes a page apart. bbolt writes keys and values behind the
// elements, one after the other: what does not lie so is damaged.
func parsePage(data []byte) (leaf bool, list []element, err error) {
	if len(data) < headerSize {
		return false, nil, io.ErrUnexpectedEOF
	}
	flags, count := binary.NativeEndian.Uint16(data[8:]), int(binary.NativeEndian.Uint16(data[10:]))
	if flags != flagBranch && flags != flagLeaf {
		return false, nil, fmt.Errorf("flags %#x are of no page with entries", flags)
	}
	leaf = flags == flagLeaf
	end := headerSize + count*elementSize
	if end > len(data) || !leaf && count == 0 {
		return leaf, nil, fmt.Errorf("%d entries", count)
	}
	for i := range count {
		at := headerSize + i*elementSize
		head := [4]int{}
		for j := range head {
			head[j] = int(binary.NativeEndian.Uint32(data[at+4*j:]))
		}
		e, position, keySize, valueSize := element{}, head[0], head[1], 0
		if leaf {
			e.bucket = head[0]&flagBucket != 0
			position, keySize, valueSize = head[1], head[2], head[3]
		} else {
			e.child = binary.NativeEndian.Uint64(data[at+8:])
		}
		if at+position != end || keySize == 0 || end+keySize+valueSize > len(data) || leaf && head[0] > flagBucket {
			return leaf, list, fmt.Errorf("entry %d does not lie where it should", i)
		}
		e.key, e.value = data[end:end+keySize], data[end+keySize:end+keySize+valueSize]
		end += keySize + valueSize
		list = append(list, e)
	}
	return leaf, list, nil
}
