package p2p

// elements reads the next element of a message, which is the text of a JSON
// array, and calls take with the text of each of the array's elements, which it
// must not keep. An element of more than limit bytes is given as nil. null is
// an empty array, as it is in Go.
func (r *reader) elements(limit int, take func(text []byte) error) error {
	if err := r.expect(','); err != nil {
		return err
	}
	if err := r.expect('"'); err != nil {
		return err
	}
	s := splitter{in: stringReader{r: r}, limit: limit, text: []byte{}}
	b, err := s.token()
	switch {
	case err != nil:
		return err
	case b == 'n':
		return s.null()
	case b != '[':
		return malformed("%q where a list is due", b)
	}
	for {
		text, last, err := s.element()
		if err != nil {
			return err
		}
		if !last || len(text) > 0 || s.size > 0 {
			if err := take(text); err != nil {
				return err
			}
		}
		if last {
			return s.end()
		}
	}
}

// splitter cuts the text of a JSON array into its elements. It knows strings
// and brackets, and no more of JSON: the elements are parsed by others.
type splitter struct {
	in    stringReader
	limit int
	text  []byte // of the element
	size  int    // of the element

	skipped int // bytes of white space between elements, in the whole list
}

// token returns the next byte that is no white space.
func (s *splitter) token() (byte, error) {
	for {
		b, more, err := s.in.next()
		if err != nil {
			return 0, err
		}
		if !more {
			return 0, malformed("a list without an end")
		}
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return b, nil
		}
		if err := s.skip(); err != nil {
			return 0, err
		}
	}
}

// skip counts a byte of white space.
func (s *splitter) skip() error {
	if s.skipped++; s.skipped > maxSkipped {
		return malformed("more than %d bytes of white space in a list", maxSkipped)
	}
	return nil
}

// element returns the next element, without the white space before it, and
// whether it is the last; an empty last one may be none at all.
func (s *splitter) element() (text []byte, last bool, err error) {
	s.text, s.size = s.text[:0], 0
	depth, quoted, escaped := 0, false, false
	b, err := s.token()
	for ; err == nil; b, err = s.inside() {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '[' || b == '{':
			depth++
		case (b == ']' || b == ',') && depth == 0:
			if s.size > s.limit {
				return nil, b == ']', nil
			}
			return s.text, b == ']', nil
		case b == ']' || b == '}':
			if depth--; depth < 0 {
				return nil, false, malformed("%q in a list closes nothing", b)
			}
		}
		if s.size++; s.size > maxSkipped {
			return nil, false, malformed("an element of more than %d bytes in a list", maxSkipped)
		}
		if s.size <= s.limit {
			s.text = append(s.text, b)
		}
	}
	return nil, false, err
}

func (s *splitter) inside() (byte, error) {
	b, more, err := s.in.next()
	if err == nil && !more {
		err = malformed("a list without an end")
	}
	return b, err
}

// null takes the rest of the word null.
func (s *splitter) null() error {
	for _, want := range []byte("ull") {
		if b, err := s.inside(); err != nil {
			return err
		} else if b != want {
			return malformed("%q where a list is due", b)
		}
	}
	return s.end()
}

// end takes the end of the text.
func (s *splitter) end() error {
	for {
		b, more, err := s.in.next()
		switch {
		case err != nil || !more:
			return err
		case b != ' ' && b != '\t' && b != '\n' && b != '\r':
			return malformed("%q behind a list", b)
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
}
