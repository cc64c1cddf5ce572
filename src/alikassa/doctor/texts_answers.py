"""What is said of a server's answers."""

from __future__ import annotations

from alikassa.doctor.words import Text, Words

__all__ = ["ANSWERS"]

ANSWERS: dict[str, Text] = {
    "server.accepted": Text(
        Words("The server takes the request: {digest}, body {body}."),
        Words("Сервер принимает запрос: {digest}, тело {body}."),
    ),
    "server.takes": Text(Words("It takes: {takes}."), Words("Он принимает: {takes}.")),
    "server.limited": Text(
        Words(
            "The server asks to come back later (429).",
            "Nothing more was asked.",
            "Ask less often; run the doctor again in a while.",
        ),
        Words(
            "Сервер просит прийти позже (429).",
            "Больше запросов не было.",
            "Спрашивайте реже; запустите проверку позже.",
        ),
    ),
    "server.failed": Text(
        Words("The server failed ({status}).", "It is not about your key.", "Wait and ask again, or ask the provider."),
        Words(
            "Ошибка на сервере ({status}).", "Дело не в вашем ключе.", "Подождите и повторите или спросите провайдера."
        ),
    ),
    "server.not_api": Text(
        Words(
            "What answered is not the API ({status}, {kind}).",
            "A login page, a proxy, or another address.",
            "Check the base URL: {url}",
        ),
        Words(
            "Ответил не API ({status}, {kind}).",
            "Страница входа, прокси или другой адрес.",
            "Проверьте базовый адрес: {url}",
        ),
    ),
    "server.forbidden": Text(
        Words(
            "The server, or what stands before it, lets nobody in from here ({status}).",
            "This machine's address may not be on a list, or a firewall or proxy answers.",
            "Ask the provider whether this machine's address has to be allowed; check the base URL.",
        ),
        Words(
            "Сервер, или то, что перед ним, отсюда не пускает ({status}).",
            "Адреса этой машины может не быть в списке, или отвечает межсетевой экран или прокси.",
            "Спросите провайдера, нужно ли разрешить адрес этой машины; проверьте базовый адрес.",
        ),
    ),
    "server.no_balance": Text(
        Words(
            "What the server answers is no balance: {problem}",
            "The key is not refused. The answer is broken, too large, or of another kind than is known.",
            "{remedy}",
        ),
        Words(
            "Ответ сервера не баланс: {problem}",
            "Ключ не отклонён. Ответ испорчен, слишком велик или неизвестного вида.",
            "{remedy}",
        ),
    ),
    "refused.digest": Text(
        Words(
            "The server takes {right}, and {wrong} is set.",
            "The key and the account are right.",
            "Set it: --digest {right}",
        ),
        Words("Сервер принимает {right}, а задан {wrong}.", "Ключ и счёт верны.", "Задайте: --digest {right}"),
    ),
    "refused.body": Text(
        Words(
            "The server takes the body {right}, and {wrong} is set.",
            "The key and the account are right.",
            "Set it: --body '{right}'",
        ),
        Words("Сервер принимает тело {right}, а задано {wrong}.", "Ключ и счёт верны.", "Задайте: --body '{right}'"),
    ),
    "refused.payment": Text(
        Words(
            "The server takes the key of {path}, and not that of {keys}.",
            "The two archives are mixed up: this one is registered for payouts.",
            "Use it: --keys {path}",
        ),
        Words(
            "Сервер принимает ключ из {path}, а не из {keys}.",
            "Два архива перепутаны: для выплат зарегистрирован этот.",
            "Используйте его: --keys {path}",
        ),
    ),
    "refused.account": Text(
        Words(
            "The server refuses the account {account}: {said}",
            "It does not know it, or does not let it ask.",
            "Compare it with the cabinet, section «Счета» (Accounts).",
        ),
        Words(
            "Сервер отклонил счёт {account}: {said}",
            "Он его не знает или не разрешает ему запрос.",
            "Сверьте его с кабинетом, раздел «Счета».",
        ),
    ),
    "refused.request": Text(
        Words(
            "The server refuses the request: {said}",
            "It is not about the signature.",
            "If it names content_type or body, a proxy may change the request on its way.",
        ),
        Words(
            "Сервер отклонил запрос: {said}",
            "Дело не в подписи.",
            "Если названо content_type или body, запрос мог изменить прокси.",
        ),
    ),
    "refused.sign": Text(
        Words("The server refuses every signature of this key: {said}", "One of these, likeliest first:", ""),
        Words("Сервер отклоняет любую подпись этого ключа: {said}", "Одно из этого, начиная с вероятного:", ""),
    ),
    "refused.maybe_payment": Text(
        Words("It is the payment certificate's key.", "", "Tell apart: alikassa doctor --payment-keys DIR"),
        Words("Это ключ сертификата для приёма платежей.", "", "Проверка: alikassa doctor --payment-keys DIR"),
    ),
    "refused.maybe_other_key": Text(
        Words(
            "Another key is registered, or none.",
            "",
            "Tell apart: compare the fingerprint {fingerprint} with the cabinet.",
        ),
        Words(
            "Зарегистрирован другой ключ или никакого.", "", "Проверка: сверьте отпечаток {fingerprint} с кабинетом."
        ),
    ),
    "refused.maybe_revoked": Text(
        Words(
            "The certificate was revoked.", "", "Tell apart: look at its state in the cabinet, section «Ключи» (Keys)."
        ),
        Words("Сертификат отозван.", "", "Проверка: посмотрите его состояние в кабинете, раздел «Ключи»."),
    ),
    "refused.maybe_account": Text(
        Words(
            "The account {account} is unknown, or another merchant's.", "", "Tell apart: compare it with the cabinet."
        ),
        Words("Счёт {account} неизвестен или принадлежит другому.", "", "Проверка: сверьте его с кабинетом."),
    ),
}
