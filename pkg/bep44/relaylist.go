package bep44

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxRelays is how many URLs a relay list may hold: enough for every real one, and few enough that reading a
// stranger's list opens no more connections than that.
const MaxRelays = 20

// EncodeRelayList returns the value that holds a relay list: a bencoded string that holds a JSON array of the URLs in
// the order given. The URLs are taken as they are; normalise them first. A list that does not fit is refused as a whole,
// and the error says how large it is and which URLs to drop, so that nothing is left out unnoticed.
func EncodeRelayList(urls []string) ([]byte, error) {
	if len(urls) > MaxRelays {
		return nil, refuse(CodeValueTooBig, "relay list has %d URLs of at most %d: drop the last %d",
			len(urls), MaxRelays, len(urls)-MaxRelays)
	}
	if err := checkURLs(urls); err != nil {
		return nil, err
	}
	value := encodeURLs(urls)
	if len(value) <= MaxValue {
		return value, nil
	}
	keep := len(urls)
	for keep > 0 && len(encodeURLs(urls[:keep])) > MaxValue {
		keep--
	}
	return nil, refuse(CodeValueTooBig, "relay list takes %d bytes of at most %d: drop the last %d of %d URLs, from %q on",
		len(value), MaxValue, len(urls)-keep, len(urls), urls[keep])
}

// DecodeRelayList reads the URLs of a relay list value in their order. It refuses what EncodeRelayList never makes:
// more than 1000 bytes, anything but one bencoded string with one JSON array of non-empty strings, more than 20 URLs.
// Whether a URL is fit to be dialled is for the caller to decide; the list's owner may be hostile.
func DecodeRelayList(value []byte) ([]string, error) {
	if len(value) > MaxValue {
		return nil, refuse(CodeValueTooBig, "relay list takes %d bytes of at most %d", len(value), MaxValue)
	}
	text, err := DecodeString(value)
	if err != nil {
		return nil, err
	}
	var urls []string
	if !utf8.Valid(text) || !bytes.HasPrefix(text, []byte("[")) || json.Unmarshal(text, &urls) != nil {
		return nil, refuse(CodeProtocol, "relay list is not a JSON array of strings")
	}
	if len(urls) > MaxRelays {
		return nil, refuse(CodeProtocol, "relay list has %d URLs of at most %d", len(urls), MaxRelays)
	}
	if err := checkURLs(urls); err != nil {
		return nil, err
	}
	return urls, nil
}

// checkURLs refuses what JSON cannot carry unchanged: an empty string could have been null, and invalid UTF-8 would be
// replaced.
func checkURLs(urls []string) error {
	for i, u := range urls {
		if u == "" || !utf8.ValidString(u) {
			return refuse(CodeProtocol, "URL %d of the relay list is empty or not UTF-8", i+1)
		}
	}
	return nil
}

func encodeURLs(urls []string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // an & in a URL must not cost six bytes
	if urls == nil {
		urls = []string{} // "[]", not "null"
	}
	_ = enc.Encode(urls) // strings always encode
	return EncodeString(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}
