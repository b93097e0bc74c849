// Reads HTTP/1.1 as Go's net/http does: on standard input cases, each four bytes of length (big endian) and as many bytes;
// on standard output one line of JSON for each.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

type request struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Body   string `json:"body"`
	Keep   bool   `json:"keep"`
}

type reading struct {
	Requests []request `json:"requests"`
	End      string    `json:"end"`
	Why      string    `json:"why"`
}

func read(input []byte) reading {
	result := reading{Requests: []request{}, End: "open"}
	stream := bufio.NewReader(bytes.NewReader(input))
	for {
		got, err := http.ReadRequest(stream)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(got.Body)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return result
		}
		if err != nil {
			result.End, result.Why = "refused", err.Error()
			return result
		}
		result.Requests = append(result.Requests, request{Method: got.Method, Target: got.RequestURI,
			Body: hex.EncodeToString(body), Keep: !got.Close})
	}
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var size uint32
		if binary.Read(in, binary.BigEndian, &size) != nil {
			return
		}
		input := make([]byte, size)
		if _, err := io.ReadFull(in, input); err != nil {
			return
		}
		line, err := json.Marshal(read(input))
		if err != nil {
			panic(err)
		}
		_, _ = out.Write(append(line, '\n'))
		if in.Buffered() == 0 {
			_ = out.Flush()
		}
	}
}
