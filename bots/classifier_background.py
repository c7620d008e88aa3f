"""Lines that are for nobody in particular: what personas are told apart from, beside each other."""

_CHAT = """
lol | same here | yeah that makes sense | no idea tbh | brb, food | I told you so | that's hilarious | ok cool
hm, maybe | anyone around? | good point | oh no | what happened here | he left an hour ago | nice one
it works for me | which one? | haha yes | I'm so tired today | wait, what? | did you see that? | it broke again
just woke up | see above | not again | I think so too | that was last week | who said that | sounds good to me
give me five minutes | never mind, found it | can't right now | back | that's not what I meant | we tried that already
it depends | fair enough | sorry, wrong channel | is it just me or is it slow today | it still says the same thing
try it again, it should be up now | let's do that then | I never liked that one | my brother has one of those
they changed it in the new version | you have to restart it first | has anybody else got this? | I sent it to you
where did you find it? | the second link is dead | same error as before | it was fine yesterday
someone deleted my message | thanks, that did it | I will look at it later | don't do that
why would you even do that | I have been at this for three hours | it does nothing when I click it
works on my machine | you need to install it first | there's a package for that | what does the log say?
paste it somewhere | ask in the other channel | I gave up on it years ago | the old one was better
remove it and put it back | did you read the page I linked? | that's a bug, file it | what version are you on?
I only use it for games | mine is plugged in and still dead | no, the other cable | you can't, it's not supported
how do I get rid of this | is there a way to turn that off? | the guy at the shop said it was fine | I'm on my phone
who's coming tonight? | we lost again | worst match ever | this song is stuck in my head
my cat walked over the keyboard | it's raining here | I'm hungry | got to go, bus is here | happy birthday!
congrats on the new place | how did the exam go? | I hate mondays | long day | who's up for a round?
I'm in, start without me | that boss is impossible | what level are you? | he's cheating | gg | add me | invite sent
the trailer looks awful | I cried at the end | no spoilers please | which episode? | season two was better
new chapter is out | I ordered the blue one | it's too expensive | not worth it | got mine second hand
the red one looks nicer | sold out everywhere | my mother says hi | the kids are asleep | we're moving in june
the neighbours are loud again | I need coffee | does it run on linux? | my disk is full | it says permission denied
you forgot a bracket | rebase and push again | the server is down | who has the password?
I rebooted and now the screen is black | the driver for that is broken | can you send me the file? | I pushed a fix
tests are red | I can't reproduce it | what's the command for that again | how do I make it start by itself?
where are the settings kept? | it can't find the network | sound is gone since the update
"""
_ASKED = """
who won the world cup in 1998 | how far away is the sun | what is the capital of mongolia
who painted the night watch | how do vaccines work | why is the sky blue | what causes thunder
how long do elephants live | who invented the telephone | how tall is the tallest building on earth
what is the boiling point of mercury | when did the roman empire fall | how many bones are there in a hand
what is the square root of two | how do I prove that there are infinitely many primes | explain photosynthesis to me
what's the difference between a virus and a bacterium | how does a black hole form | what is the population of brazil
who is the prime minister of canada | when is the next election | what did the senate vote on
tell me the latest news about the strike | how did the markets do today | should I buy shares in a car maker
what is inflation | how do I start a small company | how much does it cost to hire a lawyer | can my landlord evict me
how do I write a will | is it legal to record a call | how do I appeal a parking fine | what does a notary do
how do I get rid of a headache | are eggs bad for your heart | what are the symptoms of measles
how many hours should a baby sleep | how do I do a proper push up | give me a plan to run five kilometres
what muscles does rowing use | how do I stretch my back | who is playing tonight | what was the score of the game
who is the best goalkeeper of all time | when does the season start | what films are on this weekend
who directed that movie about the iceberg | recommend me a good thriller | what should I read next
who wrote the brothers karamazov | write me a poem about autumn | tell me a story about a dragon
rhyme something with orange | how do I draw a face | which pencils are best for sketching
how do I play a barre chord | how do I tune a violin | what are the rules of chess | how do I beat the last level
which console should I get | how do I knit a scarf | how do I train a puppy to sit | what do hedgehogs eat
why does my cat purr | how often should I water a cactus | when do I plant tomatoes | how do I get rid of ants
my roof is leaking, what do I do | how do I unclog a drain | how do I hang a shelf on a brick wall
how do I sharpen a knife | how do I remove red wine from a carpet | fix a squeaky door | how do I tie a bow tie
what should I wear to a wedding | which shampoo is good for dry hair | how do I shave without a rash
where can I buy cheap furniture | how much is a used piano | do they sell stamps at the corner shop
when does the library close | is there a pharmacy near here | how do I become a nurse
which university is best for physics | how do I learn to type faster | help me with my history homework
write an essay about the french revolution | check my grammar in this letter | what is a metaphor
how do I cite a book | which tense is used here | what's a good name for a boy | how do I ask someone out
my friend is angry with me, what should I do | how do I say sorry to my sister | what gift would my father like
plan a party for ten children | how do I stop biting my nails | how do I fall asleep faster
what does my horoscope say | is there life on mars | do ghosts exist | what is the oldest religion | who was buddha
how do I install python | what is recursion | write a function that sorts a list | how do I undo a commit
why does my loop never end | how do I back up my computer | which laptop is good for students | my printer is jammed
my wifi is slow, what can I do | how do I get a virus off my computer | what is a firewall | how do I edit a video
resize this photo for me | order flowers for my wife | sell my old bicycle | find me a babysitter | rent me a tuxedo
book me a ticket for the concert | sign me up for a yoga class | find a plumber | post this on my page
send a fax to my lawyer | how many followers do I have | read me the headlines | what is everyone talking about
who was that singer with the wig | how do airplanes stay up | how is glass blown | where does rubber come from
who built the pyramids | why did the dinosaurs die | what sort of tree is this | how deep is the ocean
what is the fastest animal | how many stars are in the galaxy | how do I register to vote
what is the speed limit on a motorway | how do I adopt a child | where do I renew my id card
what are the side effects of aspirin | how do I treat a burn | which doctor should I see for my knee
is my cough serious | how big is a football pitch | what is the record for the marathon | who founded that company
how rich is the richest man | what does this emoji mean | what is the etymology of quark
how do you pronounce this name | what is irony | set up a new database for me | draw a picture of a whale
compose a tune | play a game with me | make me a logo
"""


def background() -> tuple[str, ...]:
    """Every line once, in a settled order: talk between people, then what people ask about anything at all."""
    lines = (line.strip() for part in (_CHAT, _ASKED) for row in part.strip().splitlines() for line in row.split(" | "))
    return tuple(dict.fromkeys(line for line in lines if line))
