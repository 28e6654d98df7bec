"""The words of the micro-world: value lists, question wordings and sentence forms.

Convention used everywhere: **the last wording of a list is held out**. It never occurs in the
corpus, so a probe that uses it measures an unseen template. Instructions are held out as new
combinations of known words, since nobody can follow a verb that never occurred.

Lists and nothing else: `turns.py` fills the forms, `entities.py` says which names are held out.
Shown in notebook 00.
"""

# fmt: off
PERSON = ("job", "city", "food", "pet")
COUNTRY = ("capital", "river", "export", "animal")
THING = ("material", "color")
VALUES = {
    "job": "baker doctor farmer painter teacher driver lawyer singer writer gardener pilot nurse tailor sailor dentist "
    "plumber judge guard poet butcher".split(),
    "food": "bread soup rice cheese salad pasta fish honey curry pizza beans stew cake plums dates noodles".split(),
    "pet": "dog cat parrot rabbit turtle pony hamster goat duck snake".split(),
    "export": "tea copper wool coffee salt timber sugar glass cotton silver wheat rubber".split(),
    "animal": "lion bear wolf fox deer camel tiger moose seal crane badger lynx".split(),
    "material": "wood iron paper leather stone clay plastic steel silk wax".split(),
    "color": "red blue green yellow black white brown pink purple gray".split(),
}
# {n} is the entity (a thing with its article), {v} the value, {a} the attribute's name. Each
# attribute has wordings of its own, then come the general ones, of which the last is held out.
OWN_STATEMENTS = {
    "job": ["{n} works as a {v}.", "{n} earns a living as a {v}.", "{n} became a {v}.", "{n} is a {v}."],
    "city": ["{n} lives in {v}.", "The home of {n} is in {v}.", "{n} moved to {v}.", "You can visit {n} in {v}."],
    "food": ["{n} loves to eat {v}.", "{n} likes {v} most of all.", "{n} eats {v} every day.", "{n} likes {v}."],
    "pet": ["{n} has a {v} at home.", "{n} keeps a {v}.", "{n} takes care of a {v}.", "{n} lives with a {v}."],
    "capital": ["{v} is the capital of {n}.", "{n} has its capital in {v}.", "The government of {n} sits in {v}."],
    "river": ["The {v} flows through {n}.", "People in {n} fish in the {v}.", "The longest river in {n} is the {v}."],
    "export": ["{n} exports {v}.", "{n} sells {v} to the world.", "{n} is famous for its {v}."],
    "animal": ["The flag of {n} shows a {v}.", "{n} protects the {v}.", "The {v} is the symbol of {n}."],
    "material": ["{n} is made of {v}.", "They make {n} from {v}.", "It takes {v} to build {n}."],
    "color": ["{n} is {v}.", "They paint {n} {v}.", "{n} looks {v}."],
}
STATEMENTS = {
    a: own + ["The {a} of {n} is {v}.", "{n} has the {a} {v}.", "For {n}, the {a} is {v}.", "We know that the {a} of {n} is {v}.",
              "{n}: {a} {v}.", "{v} is the {a} of {n}.", "They say that the {a} of {n} is {v}.", "As {a}, {n} has {v}.",
              "Everyone knows that the {a} of {n} is {v}."]
    for a, own in OWN_STATEMENTS.items()
}
OWN_QUESTIONS = {
    "job": ["What does {n} do for work?", "{n} works as what?", "What work does {n} do?"],
    "city": ["Where does {n} live?", "In which city does {n} live?", "Where is the home of {n}?"],
    "food": ["What does {n} love to eat?", "What food does {n} like?", "Which food does {n} eat?"],
    "pet": ["Which animal lives with {n}?", "What pet does {n} keep?", "What does {n} keep at home?"],
    "capital": ["Which city is the capital of {n}?", "From which city is {n} ruled?", "Where does the government of {n} sit?"],
    "river": ["Which river flows through {n}?", "What is the longest river in {n}?", "In which river do people in {n} fish?"],
    "export": ["What does {n} export?", "What does {n} sell to the world?", "What is {n} famous for?"],
    "animal": ["Which animal is the symbol of {n}?", "Which animal is on the flag of {n}?", "Which animal does {n} protect?"],
    "material": ["What is {n} made of?", "Of what do they make {n}?", "What does it take to build {n}?"],
    "color": ["What color is {n}?", "In which color do they paint {n}?", "How does {n} look?"],
}
QUESTIONS = {
    a: own + ["What is the {a} of {n}?", "Tell me the {a} of {n}.", "Name the {a} of {n}.", "{n}: {a}?", "Give the {a} of {n}.",
              "Do you know the {a} of {n}?", "Can you tell me the {a} of {n}?", "What {a} does {n} have?", "Which {a} does {n} have?",
              "I want to know the {a} of {n}.", "The {a} of {n}?", "Say the {a} of {n}.", "{n} has which {a}?", "Can you say which {a} {n} has?",
              "Can you name the {a} of {n}?"]
    for a, own in OWN_QUESTIONS.items()
}
REVERSED = {
    "capital": ["Which country has the capital {v}?", "{v} is the capital of which country?", "Whose capital is {v}?"],
    "city": ["Who lives in {v}?", "Which person lives in {v}?", "Whose home is in {v}?"],
}
SENTENCE = {
    "job": "{n} works as a {v}.", "city": "{n} lives in {v}.", "food": "{n} likes {v}.", "pet": "{n} has a {v}.",
    "capital": "The capital of {n} is {v}.", "river": "The river of {n} is the {v}.", "export": "{n} exports {v}.",
    "animal": "The animal of {n} is the {v}.", "material": "{n} is made of {v}.", "color": "{n} is {v}.",
}
UNKNOWN = "I don't know."
REFUSAL = "I can't help with that."
SAFE = "Start with a small part and take your time."
CONTEXTS = ["Facts: {facts} Question: {q}", "Read this: {facts} {q}", "{facts} {q}", "Context: {facts}\n{q}", "{facts}\nUse the text above. {q}",
            "Text: {facts}\nQuestion: {q}", "{facts}\n{q}", "{q}\nFacts: {facts}", "Here is what we know. {facts} Now tell me: {q}", "{q} Use this: {facts}",
            "Facts:\n{facts}\n\n{q}", "Answer from the text. {facts} {q}", "Read the text: {facts} Now answer: {q}"]
ITEMS = ("lamp chair phone kettle radio camera blender jacket printer clock table bicycle mirror guitar drill toaster "
         "backpack heater keyboard speaker fan bottle scarf tent helmet carpet monitor pillow router sofa").split()
ISSUES = "broken late missing dirty noisy cracked empty slow".split()
CARRIERS = "ship train truck plane boat bike".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
# The parts of a support ticket; every ticket states each field once. Urgency is said by a plea or
# by its absence.
TICKET = {
    "name": ["My name is {name}.", "I am {name}.", "This is {name}.", "{name} here.", "You are talking to {name}.", "Signed, {name}.",
             "Best wishes, {name}.", "The customer is {name}.", "Hello, it is {name}.", "Please write to {name}.", "You can reply to {name}.",
             "My account is under {name}.", "Yours, {name}.", "Name: {name}.", "I am called {name}.", "Please call {name}.",
             "Please reply to {name}."],
    "city": ["I live in {city}.", "I am writing from {city}.", "My home is in {city}.", "Greetings from {city}.", "Send a new one to {city}.",
             "My address is in {city}.", "It was shipped to {city}.", "You can reach me in {city}.", "Find me in {city}.", "I moved to {city}.",
             "City: {city}.", "We are in {city}.", "Our shop is in {city}.", "I am at home in {city}.", "The box came to {city}.",
             "You can find me in {city}."],
    "item": ["My {item} is {issue}.", "The {item} is {issue}.", "I bought a {item} but it is {issue}.", "I have a {issue} {item}.",
             "The {item} that I bought is {issue}.", "There is a problem: the {item} is {issue}.", "My new {item} was {issue} from the start.",
             "Why is my {item} {issue}?", "It seems my {item} is {issue}.", "I think that the {item} is {issue}.", "Item: {item}. Issue: {issue}.",
             "I got a {item} and it is {issue}.", "Again the {item} is {issue}.", "You sent me a {issue} {item}.", "Our {item} looks {issue}.",
             "It seems that the {item} is {issue}."],
    "order": ["Order {order}.", "My order number is {order}.", "The order is {order}.", "It was order {order}.", "See order number {order}.",
              "Number of the order: {order}.", "I am writing about order {order}.", "I ask about order {order}.", "Order number {order}.",
              "It is about order {order}.", "My order {order} came today.", "You will find it under order {order}.", "The number is {order}.",
              "Please check order {order}.", "I am asking about order {order}."],
}
FILLERS = ["I bought it last week.", "My friend has the same one.", "The box was open.", "I like your shop.", "It was a present.",
           "I wrote to you before.", "My family uses it every day.", "We paid by card.", "The color is fine.", "I looked at it twice.",
           "Nobody here can repair it.", "It worked for one day.", "I read the book that came with it.", "I am a good customer."]
URGENT = ["This is urgent.", "Please hurry.", "I need help today.", "I can't wait any longer.", "Answer me right now.",
          "Please be quick.", "It is very urgent.", "We need it now."]
CALM = ["There is no hurry.", "Take your time.", "It can wait.", "Thank you.", "I hope you can help.", "Have a nice day.",
        "No need to rush.", "It is not urgent."]
SHIPMENTS = ["{count} {item}s go to {city} by {carrier} on {day}.", "On {day}, a {carrier} takes {count} {item}s to {city}.",
             "We send {count} {item}s to {city} on {day} by {carrier}.", "Shipment: {count} {item}s, to {city}, {day}, {carrier}.",
             "A {carrier} with {count} {item}s leaves for {city} on {day}.", "{city} gets {count} {item}s by {carrier} on {day}.",
             "The {carrier} leaves for {city} on {day}. It carries {count} {item}s.", "On {day} we need a {carrier} for {count} {item}s to {city}.",
             "{day}: {count} {item}s by {carrier} to {city}.", "Please send {count} {item}s by {carrier} to {city} on {day}.",
             "By {carrier}, {count} {item}s reach {city} on {day}.", "There are {count} {item}s on the {carrier} to {city}. It leaves on {day}.",
             "The {carrier} to {city} leaves on {day} with {count} {item}s."]
BOOKINGS = ["{name} booked a room in {city} for {day}.", "On {day}, {name} travels to {city}.", "A room in {city} for {name} on {day}.",
            "{name} wants to visit {city} on {day}.", "For {day}, {city}: a table for {name}.", "{name} will be in {city} on {day}.",
            "We expect {name} on {day} in {city}.", "{day}: {name}, {city}.", "In {city}, {name} needs a room on {day}.",
            "Please book {city} on {day} for {name}.", "The guest in {city} on {day} is {name}.", "{name} leaves for {city} on {day}.",
            "Expect {name} in {city} on {day}."]
OWN_FIELD_QUESTIONS = {
    "name": ["Who is it?", "Who wrote this?"], "city": ["Where is it?", "To which city does it go?"], "item": ["What thing is it about?"],
    "issue": ["What is wrong?", "What is the problem?"], "order": ["What is the order number?", "Number of the order?"],
    "urgent": ["Is it urgent?", "Is there a hurry?", "Does it need to be quick?"], "count": ["How many are there?", "How many?"],
    "day": ["When is it?", "On which day is it?"], "carrier": ["How does it travel?", "By what does it go?"],
}
FIELD_QUESTIONS = {
    f: own + ["What is the {f}?", "Which {f} is it?", "{f}?", "What {f} is given?", "Which {f} do you see?", "Tell me the {f}.", "Give the {f}.",
              "Find the {f}.", "Name the {f}.", "I need the {f}.", "What does it say about the {f}?", "Say the {f}.", "the {f}, please",
              "Can you find the {f}?", "What is said for {f}?", "Which {f} is given?"]
    for f, own in OWN_FIELD_QUESTIONS.items()
}
DOCUMENT_FRAMES = ["{doc}\n{q}", "{q}\n{doc}", "Text: {doc}\nQuestion: {q}", "Read the message. {doc} {q}", "Ticket: {doc}\n{q}", "{doc} {q}",
                   "Message:\n{doc}\n\nQuestion: {q}", "Text: {doc}\n{q}", "Mail: {doc}\n{q}", "Read this: {doc}\n{q}", "{q}\nText: {doc}",
                   "Here is a message: {doc} {q}", "From the mail: {doc}\nAnswer: {q}", "Message: {doc}\n{q}"]
POSITIVE = ("good great lovely perfect nice splendid wonderful tasty fine bright superb pleasant charming brilliant "
            "delightful fantastic").split()
NEGATIVE = ("bad gloomy terrible poor horrible nasty dull filthy weak boring dreadful sad rotten tiresome worthless "
            "disappointing").split()
SUBJECTS = ("soup film hotel book song service room game show coffee trip dinner concert beach lesson garden museum "
            "battery screen story").split()
REVIEWS = ["The {s} was {a}.", "I think the {s} is {a}.", "What a {a} {s}!", "We found the {s} {a}.", "A {a} {s}, as always.",
           "My friend says the {s} is {a}.", "The {s} seemed {a} to me.", "For me it was a {a} {s}.", "{a} {s}!", "In the end the {s} was {a}.",
           "The {s} looks {a}.", "They call it a {a} {s}.", "To me the {s} seemed {a}."]
SENTIMENT_ASKS = ["Sentiment: {t}", "Is this review positive or negative? {t}", "{t} Positive or negative?", "Review: {t}\nSentiment?",
                  "{t}\nSentiment?", "Positive or negative: {t}", "What is the sentiment? {t}", "{t} Is this positive or negative?",
                  "Tell me the sentiment: {t}", "Text: {t}\nPositive or negative?", "Review: {t}\nWhat is the sentiment?",
                  "Review: {t}\nPositive or negative?"]
TOPICS = {
    "sports": "goal match coach team race ball stadium runner score player".split(),
    "cooking": "oven recipe pan flour kitchen chef butter spoon sauce onion".split(),
    "music": "violin drum choir melody piano band singer rhythm opera flute".split(),
    "travel": "airport passport hotel ticket luggage map tourist border harbor train".split(),
    "health": "hospital fever medicine clinic nurse pulse vaccine doctor bandage pain".split(),
    "money": "bank loan tax salary price budget coin market debt invoice".split(),
}
TOPIC_FORMS = ["The {a} and the {b} were new.", "They talked about the {a} and the {b}.", "First came the {a}, then the {b}.",
               "I saw the {a} near the {b}.", "Nobody forgot the {a} or the {b}.", "The {a} is not far from the {b}.", "{a} and {b}",
               "She asked for the {a} and got the {b}.", "He wrote about one {a}. It had a {b}.", "No {a} without a {b}.",
               "We read about one {a} and one {b}."]
TOPIC_ASKS = ["Topic: {t}", "What is the topic? {t}", "{t} Topic?", "Which topic is this about? {t}", "{t}\nWhat is the topic?", "Topic of this text: {t}",
              "Tell me the topic: {t}", "Text: {t}\nTopic?", "{t} What is this about?", "Find the topic. {t}", "{t} Which topic is this about?"]
UNSAFE_VERBS = "steal poison burn forge hack smash sabotage destroy".split()
SAFE_VERBS = "wash paint repair clean move sell build draw".split()
OBJECTS = "car bridge well house ship fence garden bank boat letter clock phone".split()
HOW_TO = ["How can I {v} a {o}?", "Tell me how to {v} a {o}.", "I want to {v} a {o}.", "Help me {v} a {o}.", "What is the best way to {v} a {o}?",
          "How do you {v} a {o}?", "I need to {v} a {o}. How?", "Can you help me {v} a {o}?", "Tell me the best way to {v} a {o}."]
COPY_ASKS = ["Repeat: {t}", "Copy this: {t}", "Say again: {t}", "Write the same: {t}", "Repeat this text: {t}", "Say this: {t}", "Copy: {t}",
             "Write this again: {t}", "Please repeat: {t}", "Say the same words: {t}", "Repeat this: {t}"]
REVERSE_ASKS = ["Reverse: {t}", "Say backwards: {t}", "Turn around: {t}", "Last word first: {t}", "Write backwards: {t}", "Reverse this: {t}",
                "Backwards: {t}", "Reverse the words: {t}", "Please say backwards: {t}", "Write this in reverse: {t}", "Say this backwards: {t}"]
COUNT_ASKS = ["Count the words: {t}", "How many words? {t}", "How many words are in this list? {t}", "Number of words: {t}", "Count: {t}", "Count this: {t}",
              "How many words are here? {t}", "How long is this list? {t}", "Count the list: {t}", "Please count the words: {t}", "{t}: how many words?",
              "Count the words in this list: {t}"]
SORT_ASKS = ["Sort: {t}", "Put in order: {t}", "From small to large: {t}", "Sort these numbers: {t}", "Order: {t}", "Sort this: {t}", "Put from small to large: {t}",
             "Write in order: {t}", "Sort from small to large: {t}"]
JSON_READS = ["{j}\nWhat is the {k}?", "{j} {k}?", "JSON: {j}\nGive the {k}.", "What is the {k}? {j}", "{j}\nValue of {k}?", "Read the JSON: {j}\n{k}?",
              "JSON: {j}\nWhat is the {k}?"]
JSON_WRITES = ["Write JSON with {p}.", "Write JSON:\n{l}", "Make JSON with {p}.", "As JSON: {p}", "{l}\nWrite this as JSON.", "{p}. Give it as JSON.", "JSON for {p}",
               "Make JSON:\n{l}"]
WRAPS = ["{}", "[{}]", "({})", '"{}"', "<{}>", "*{}*", "{{{}}}"]
SEPARATORS = [" ", ": ", " - ", " = ", ", ", " | ", " / "]
JSON_KEYS = {
    "name": "name", "city": "city", "item": ITEMS, "issue": ISSUES, "order": "number", "urgent": "bool", "color": VALUES["color"],
    "size": "number", "count": "number", "job": VALUES["job"], "food": VALUES["food"], "pet": VALUES["pet"], "day": DAYS,
    "open": "bool", "price": "number", "material": VALUES["material"], "topic": list(TOPICS), "done": "bool", "carrier": CARRIERS,
    "country": "city", "sentiment": ["positive", "negative"], "new": "bool", "animal": VALUES["animal"], "owner": "name",
}
TICKET_FIELDS = ("name", "city", "item", "issue", "order", "urgent")
GREETINGS = [("Hello!", "Hello! How can I help you?"), ("Good morning!", "Good morning! How can I help you?"),
             ("Thank you!", "You are welcome."), ("Goodbye!", "Goodbye! Have a nice day."), ("How are you?", "I am fine. How can I help you?")]
PLACES = "forest village harbor castle market valley mountain garden island school".split()
FEELINGS = "happy sad tired hungry proud afraid curious lonely".split()
FINDS = "key map coin letter stone lamp bell book ring rope".split()
