"""The contract as Python objects: messages, enums, methods, routes with their options and comments."""

import re

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
KINDS = {F.TYPE_BOOL: "BOOL", F.TYPE_INT32: "INT32", F.TYPE_INT64: "INT64", F.TYPE_DOUBLE: "DOUBLE",
         F.TYPE_STRING: "STRING", F.TYPE_BYTES: "BYTES", F.TYPE_ENUM: "ENUM", F.TYPE_MESSAGE: "MESSAGE"}
SPECIAL = {"google.protobuf.Timestamp": "TIMESTAMP", "google.protobuf.Duration": "DURATION"}
VERBS = ("get", "put", "post", "delete", "patch")


class Refused(SystemExit):
    def __init__(self, where, why):
        super().__init__("%s: %s" % (where, why))


class Field:
    def __init__(self, contract, message, descriptor, options, comment):
        self.number, self.name, self.json_name = descriptor.number, descriptor.name, descriptor.json_name
        self.comment = comment
        if descriptor.type not in KINDS:
            raise Refused("%s.%s" % (message.name, self.name), "this field type is not transcoded")
        self.kind = KINDS[descriptor.type]
        self.type_name = descriptor.type_name.lstrip(".")
        self.repeated = descriptor.label == F.LABEL_REPEATED
        entry = contract.raw_messages.get(self.type_name)
        self.map = bool(self.repeated and entry is not None and entry.options.map_entry)
        self.optional = descriptor.proto3_optional
        self.oneof = -1
        if descriptor.HasField("oneof_index") and not self.optional:
            self.oneof = descriptor.oneof_index
        self.raw_json, self.decimal = options.raw_json, options.decimal
        self.json_number, self.internal = options.json_number, options.internal
        self.http_header = options.http_header
        self.presence = not self.repeated and (self.optional or self.oneof >= 0 or self.kind == "MESSAGE")


class Message:
    def __init__(self, name, comment):
        self.name, self.comment = name, comment
        self.fields, self.oneofs = [], []
        self.special = SPECIAL.get(name, "PLAIN")

    def field(self, name):
        return next((f for f in self.fields if f.name == name), None)


class Enum:
    def __init__(self, name, values, comment):
        self.name, self.values, self.comment = name, values, comment


class Route:
    def __init__(self, method, verb, path, body, response_body):
        self.method, self.verb, self.path = method, verb, path
        self.body, self.response_body = body, response_body
        self.segments = []  # (literal, None) or (None, Field)


class Method:
    def __init__(self, service, name, comment):
        self.service, self.name, self.comment = service, name, comment
        self.path = "/%s/%s" % (service, name)
        self.routes = []

    @property
    def enum(self):
        snake = lambda text: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).upper()
        return "METHOD_%s_%s" % (snake(self.service.rsplit(".", 1)[1]), snake(self.name))


class Contract:
    def __init__(self, files, ours):
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        # Re-read with the extensions known, so that options can be asked for by name.
        factory = message_factory.MessageFactory(pool)
        self.extensions = {}
        for file in files.file:
            for extension in file.extension:
                full = "%s.%s" % (file.package, extension.name)
                self.extensions[full] = pool.FindExtensionByName(full)
        self.classes = {name: factory.GetPrototype(pool.FindMessageTypeByName("google.protobuf." + name))
                        for name in ("MethodOptions", "FieldOptions")}
        for extension in self.extensions.values():
            factory.GetPrototype(extension.containing_type).RegisterExtension(extension)
            if extension.message_type is not None:
                factory.GetPrototype(extension.message_type)
        self.raw_messages, self.messages, self.enums, self.methods, self.routes = {}, {}, {}, [], []
        self.files = {}  # of each message: the header that protobuf-c makes
        for file in files.file:
            for message in file.message_type:
                self._index(file.package, message)
                self.files["%s.%s" % (file.package, message.name)] = file.name.replace(".proto", ".pb-c.h")
        for file in files.file:
            if file.name in ours or file.name.startswith("google/protobuf/") and file.name != "google/protobuf/descriptor.proto":
                self._read_file(file)
        for file in files.file:
            if file.name in ours:
                self._read_services(file)
        self._refuse_clashes()

    def option(self, kind, options, extension):
        parsed = self.classes[kind]()
        parsed.ParseFromString(options.SerializeToString())
        return parsed.Extensions[self.extensions[extension]]

    def has_option(self, kind, options, extension):
        parsed = self.classes[kind]()
        parsed.ParseFromString(options.SerializeToString())
        return parsed.HasExtension(self.extensions[extension])

    def _index(self, prefix, message):
        name = "%s.%s" % (prefix, message.name)
        self.raw_messages[name] = message
        for inner in message.nested_type:
            self._index(name, inner)

    def _read_file(self, file):
        comments = {}
        for location in file.source_code_info.location:
            text = (location.leading_comments or location.trailing_comments).strip()
            comments[tuple(location.path)] = re.sub(r"\n ", "\n", text)
        for i, message in enumerate(file.message_type):
            self._read_message(file.package, message, comments, (4, i))
        for i, enum in enumerate(file.enum_type):
            self._read_enum(file.package, enum, comments, (5, i))

    def _read_enum(self, prefix, enum, comments, path):
        name = "%s.%s" % (prefix, enum.name)
        values = [(v.name, v.number, comments.get(path + (2, i), "")) for i, v in enumerate(enum.value)]
        self.enums[name] = Enum(name, values, comments.get(path, ""))

    def _read_message(self, prefix, raw, comments, path):
        name = "%s.%s" % (prefix, raw.name)
        message = Message(name, comments.get(path, ""))
        self.messages[name] = message
        for i, inner in enumerate(raw.nested_type):
            self._read_message(name, inner, comments, path + (3, i))
        for i, enum in enumerate(raw.enum_type):
            self._read_enum(name, enum, comments, path + (4, i))
        synthetic = {f.oneof_index for f in raw.field if f.proto3_optional}
        message.oneofs = [o.name for i, o in enumerate(raw.oneof_decl) if i not in synthetic]
        for i, field in enumerate(raw.field):
            options = self.option("FieldOptions", field.options, "strata.v1.field")
            message.fields.append(Field(self, message, field, options, comments.get(path + (2, i), "")))
        message.fields.sort(key=lambda f: f.number)

    def _read_services(self, file):
        comments = {}
        for location in file.source_code_info.location:
            comments[tuple(location.path)] = (location.leading_comments or location.trailing_comments).strip()
        for s, service in enumerate(file.service):
            for m, raw in enumerate(service.method):
                method = Method("%s.%s" % (file.package, service.name), raw.name, comments.get((6, s, 2, m), ""))
                if not self.has_option("MethodOptions", raw.options, "strata.v1.rule"):
                    raise Refused(method.path, "has no (rule)")
                method.rule = self.option("MethodOptions", raw.options, "strata.v1.rule")
                method.request = self.messages[raw.input_type.lstrip(".")]
                method.reply = self.messages[raw.output_type.lstrip(".")]
                method.client_stream, method.server_stream = raw.client_streaming, raw.server_streaming
                if self.has_option("MethodOptions", raw.options, "google.api.http"):
                    self._read_routes(method, self.option("MethodOptions", raw.options, "google.api.http"))
                self.methods.append(method)

    def _read_routes(self, method, http):
        for rule in [http, *http.additional_bindings]:
            verb = rule.WhichOneof("pattern")
            if verb not in VERBS:
                raise Refused(method.path, "custom verbs are not transcoded")
            if method.client_stream:
                raise Refused(method.path, "client streams have no HTTP route")
            route = Route(method, verb.upper(), getattr(rule, verb), rule.body, rule.response_body)
            if route.body not in ("", "*") and method.request.field(route.body) is None:
                raise Refused(method.path, "body: no field %s" % route.body)
            if route.response_body and method.reply.field(route.response_body) is None:
                raise Refused(method.path, "response_body: no field %s" % route.response_body)
            for part in route.path.strip("/").split("/"):
                variable = re.fullmatch(r"\{([a-z0-9_]+)\}", part)
                if variable:
                    field = method.request.field(variable.group(1))
                    if field is None or field.repeated or field.kind in ("MESSAGE", "BYTES", "DOUBLE"):
                        raise Refused(method.path, "%s: {%s} is no plain field" % (route.path, variable.group(1)))
                    route.segments.append((None, field))
                elif re.fullmatch(r"[A-Za-z0-9._~-]+", part):
                    route.segments.append((part, None))
                else:
                    raise Refused(method.path, "%s: segment %r is outside what is transcoded" % (route.path, part))
            method.routes.append(route)
            self.routes.append(route)

    def _refuse_clashes(self):
        """Literals win over variables, so two routes clash when they have the same shape."""
        seen = {}
        for route in self.routes:
            shape = (route.verb, tuple(literal for literal, _ in route.segments))
            if shape in seen:
                raise Refused(route.path, "matches the same paths as %s" % seen[shape].path)
            seen[shape] = route

    def reachable(self):
        """Messages in the order of first use, from the methods and the WebSocket frames."""
        order, seen = [], set()

        def visit(message):
            if message.name in seen:
                return
            seen.add(message.name)
            for field in message.fields:
                if field.kind == "MESSAGE":
                    visit(self.messages[field.type_name])
            order.append(message)

        for method in self.methods:
            visit(method.request)
            visit(method.reply)
        for name in ("WsRequest", "WsMessage", "Event"):
            visit(self.messages["strata.v1." + name])
        return order
