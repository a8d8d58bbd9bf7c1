// Says whether the library of Go takes the delivery that comes as JSON on standard input.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func verify() error {
	var given struct {
		Secret, Body string
		Raw          bool
		Headers      map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return err
	}
	headers := http.Header{}
	for name, value := range given.Headers {
		headers.Set(name, value)
	}
	hook, err := webhooks.NewWebhook(given.Secret)
	if given.Raw {
		hook, err = webhooks.NewWebhookRaw([]byte(given.Secret))
	}
	if err != nil {
		return err
	}
	return hook.Verify([]byte(given.Body), headers)
}

func main() {
	if err := verify(); err != nil {
		fmt.Println("bad:", err)
		return
	}
	fmt.Println("good")
}
